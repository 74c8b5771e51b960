//! The table `sessions`.

use domain::{
    Secret, SessionId, UserId,
    ports::{BackendError, Page, Version, Versioned},
    session::{Session, Status},
};
use rusqlite::{Connection, params};

use super::{
    record::{self, AFTER_ALL},
    variables,
};

/// A session, encoded.
pub(super) struct Row {
    id: [u8; 16],
    user: UserId,
    status: &'static str,
    waiting: bool,
    open: bool,
    due_at: Option<i64>,
    ended_at: Option<i64>,
    record: String,
    /// The environment variables, if they are too large for the record.
    variables: Option<String>,
}

impl Row {
    pub(super) fn new(session: &Session) -> Result<Self, BackendError> {
        let ended_at = match session {
            Session::Ended(ended) => Some(ended.ended_at().millis()),
            Session::Waiting(_)
            | Session::Queued(_)
            | Session::Provisioning(_)
            | Session::Starting(_)
            | Session::Ready(_)
            | Session::Stopping(_) => None,
        };
        let is_ended = ended_at.is_some();
        let variables = if is_ended { None } else { variables::encode(session)? };
        // An ended session needs its variables no more.
        let record = if variables.is_some() || is_ended {
            record::encode(&session.clone().with_env(Secret::default()))?
        } else {
            record::encode(session)?
        };
        Ok(Self {
            id: session.id().ulid().to_bytes(),
            user: session.user().clone(),
            status: session.status().name(),
            waiting: matches!(session, Session::Waiting(_)),
            open: session.is_open(),
            due_at: session.due_at().map(|at| at.millis()),
            ended_at,
            record,
            variables,
        })
    }
}

impl Row {
    /// Writes a record of an earlier version again, with its variables beside it.
    pub(super) fn rewrite(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "-- sessions::rewrite
            UPDATE sessions SET record = ?2 WHERE id = ?1",
        )?
        .execute(params![self.id, self.record])?;
        let variables = self.variables.as_ref();
        variables.map_or(Ok(()), |variables| variables::insert(db, self.id, variables))
    }
}

impl record::Row for Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        let rows = db
            .prepare_cached(
                "-- sessions::insert
                INSERT INTO sessions
                    (id, user, status, waiting, open, due_at, ended_at, version, record)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8)
                ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                self.id,
                self.user.as_str(),
                self.status,
                self.waiting,
                self.open,
                self.due_at,
                self.ended_at,
                self.record,
            ])?;
        if let Some(variables) = self.variables.as_ref().filter(|_| rows == 1) {
            variables::insert(db, self.id, variables)?;
        }
        Ok(rows)
    }

    fn update(&self, db: &Connection, Version(read): Version) -> rusqlite::Result<usize> {
        let rows = db
            .prepare_cached(
                "-- sessions::update
                UPDATE sessions SET status = ?3, waiting = ?4, open = ?5, due_at = ?6, ended_at = ?7,
                    version = version + 1, record = ?8
                WHERE id = ?1 AND version = ?2",
            )?
            .execute(params![
                self.id,
                read,
                self.status,
                self.waiting,
                self.open,
                self.due_at,
                self.ended_at,
                self.record,
            ])?;
        if rows == 1 && self.ended_at.is_some() {
            variables::drop_of(db, self.id)?;
        }
        Ok(rows)
    }
}

pub(super) fn find(db: &Connection, id: SessionId) -> rusqlite::Result<Option<Versioned<Session>>> {
    let found = record::find(
        db,
        "-- sessions::find
        SELECT record, version FROM sessions WHERE id = ?1",
        id.ulid(),
    )?;
    found.map(|read| variables::restore(db, id, read)).transpose()
}

/// Whether a session waits for its task or for the runner in it.
pub(super) fn any_starting(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- sessions::any_starting
        SELECT 1 FROM sessions
        WHERE waiting = 0 AND status IN ('queued', 'provisioning', 'starting') LIMIT 1",
    )?
    .exists([])
}

/// Whether the session takes new jobs.
pub(super) fn is_open(db: &Connection, id: SessionId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- sessions::is_open
        SELECT 1 FROM sessions WHERE id = ?1 AND open",
    )?
    .exists([id.ulid().to_bytes()])
}

pub(super) fn page(
    db: &Connection,
    user: &UserId,
    status: Option<Status>,
    cursor: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Page<Session>> {
    let Some(before) = record::page_start(cursor, &AFTER_ALL, SessionId::ulid) else {
        return Ok(record::empty_page());
    };
    let more = limit.saturating_add(1);
    let items: rusqlite::Result<Vec<Session>> = match status {
        None => db
            .prepare_cached(
                "-- sessions::page
                SELECT record FROM sessions WHERE user = ?1 AND id < ?2
                ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![user.as_str(), before, more], record::plain)?
            .collect(),
        Some(status) => db
            .prepare_cached(
                "-- sessions::page_of_status
                SELECT record FROM sessions WHERE user = ?1 AND status = ?4 AND id < ?2
                ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![user.as_str(), before, more, status.name()], record::plain)?
            .collect(),
    };
    Ok(record::page(items?, limit, |session| session.id().to_string()))
}

pub(super) fn waiting(db: &Connection, user: &UserId) -> rusqlite::Result<Vec<Versioned<Session>>> {
    db.prepare_cached(
        "-- sessions::waiting
        SELECT record, version FROM sessions WHERE user = ?1 AND waiting ORDER BY id",
    )?
    .query_map([user.as_str()], record::versioned)?
    .collect()
}

/// The waiting sessions of all users, oldest first.
pub(super) fn all_waiting(db: &Connection) -> rusqlite::Result<Vec<Versioned<Session>>> {
    db.prepare_cached(
        "-- sessions::all_waiting
        SELECT record, version FROM sessions WHERE waiting ORDER BY id",
    )?
    .query_map([], record::versioned)?
    .collect()
}
