//! The table `jobs`.

use domain::{
    JobId, SessionId, UserId,
    command::Concurrency,
    job::Job,
    ports::{BackendError, Page, RunLimits, Version, Versioned},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    commands,
    record::{self, BEFORE_ALL},
};

/// A job, encoded.
pub(super) struct Row {
    id: [u8; 16],
    session: [u8; 16],
    user: UserId,
    open: Open,
    running: bool,
    due_at: Option<i64>,
    record: String,
    /// The command, if it is too large for the record.
    command: Option<commands::Row>,
}

/// The column `open`: whether a job is an unfinished command, and with which concurrency.
#[derive(Clone, Copy)]
struct Open(i64);

impl Open {
    const NOT: Self = Self(0);

    fn of(job: &Job) -> Self {
        let open = job.command().filter(|_| job.due_at().is_some());
        open.map_or(Self::NOT, |command| Self::kind(command.concurrency))
    }

    const fn kind(concurrency: Concurrency) -> Self {
        match concurrency {
            Concurrency::Serial => Self(1),
            Concurrency::Parallel => Self(2),
        }
    }
}

impl Row {
    pub(super) fn new(job: &Job) -> Result<Self, BackendError> {
        let due_at = job.due_at().map(|at| at.millis());
        let command = match job.command() {
            Some(command) if due_at.is_some() => commands::Row::new(command)?,
            _ => None,
        };
        // A finished job needs its command no more.
        let is_inline = command.is_none() && due_at.is_some();
        let record =
            if is_inline { record::encode(job)? } else { record::encode(&job.clone().outline())? };
        Ok(Self {
            id: job.id().ulid().to_bytes(),
            session: job.common().session.ulid().to_bytes(),
            user: job.common().user.clone(),
            open: Open::of(job),
            running: matches!(job, Job::Running(_)),
            due_at,
            record,
            command,
        })
    }
}

impl Row {
    /// Writes a record of an earlier version again, with its command beside it.
    pub(super) fn rewrite(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "-- jobs::rewrite
            UPDATE jobs SET running = ?2, record = ?3 WHERE id = ?1",
        )?
        .execute(params![self.id, self.running, self.record])?;
        self.command.as_ref().map_or(Ok(()), |command| command.insert(db, self.id, self.session))
    }
}

impl record::Row for Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        let rows = db
            .prepare_cached(
                "-- jobs::insert
                INSERT INTO jobs (id, session, user, open, running, due_at, version, record)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)
                ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                self.id,
                self.session,
                self.user.as_str(),
                self.open.0,
                self.running,
                self.due_at,
                self.record
            ])?;
        if let Some(command) = self.command.as_ref().filter(|_| rows == 1) {
            command.insert(db, self.id, self.session)?;
        }
        Ok(rows)
    }

    fn update(&self, db: &Connection, Version(read): Version) -> rusqlite::Result<usize> {
        let rows = db
            .prepare_cached(
                "-- jobs::update
                UPDATE jobs SET open = ?3, running = ?4, due_at = ?5, version = version + 1, record = ?6
                WHERE id = ?1 AND version = ?2",
            )?
            .execute(params![
                self.id,
                read,
                self.open.0,
                self.running,
                self.due_at,
                self.record
            ])?;
        if rows == 1 && self.due_at.is_none() {
            commands::drop_of(db, self.id)?;
        }
        Ok(rows)
    }
}

/// Whether the user and the session run fewer commands than the limits.
pub(super) fn may_run_more(
    db: &Connection,
    user: &UserId,
    session: SessionId,
    limits: RunLimits,
) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- jobs::running
        SELECT count(*) < ?3 AND ifnull(sum(session = ?2), 0) < ?4 FROM jobs
        WHERE user = ?1 AND running",
    )?
    .query_one(
        params![user.as_str(), session.ulid().to_bytes(), limits.user, limits.session],
        |row| row.get(0),
    )
}

pub(super) fn find(db: &Connection, id: JobId) -> rusqlite::Result<Option<Versioned<Job>>> {
    record::find(
        db,
        "-- jobs::find
        SELECT record, version FROM jobs WHERE id = ?1",
        id.ulid(),
    )
}

/// The version of a job, for listeners that wait for another one.
pub(crate) fn version(db: &Connection, id: JobId) -> rusqlite::Result<Option<Version>> {
    db.prepare_cached(
        "-- jobs::version
        SELECT version FROM jobs WHERE id = ?1",
    )?
    .query_one([id.ulid().to_bytes()], |row| row.get(0).map(Version))
    .optional()
}

pub(super) fn page(
    db: &Connection,
    session: SessionId,
    cursor: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Page<Job>> {
    let Some(after) = record::page_start(cursor, &BEFORE_ALL, JobId::ulid) else {
        return Ok(record::empty_page());
    };
    let items = db
        .prepare_cached(
            "-- jobs::page
            SELECT record FROM jobs WHERE session = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(
            params![session.ulid().to_bytes(), after, limit.saturating_add(1)],
            record::plain::<Job>,
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(record::page(items, limit, |job| job.id().to_string()))
}

pub(super) fn open(
    db: &Connection,
    session: SessionId,
    concurrency: Concurrency,
    limit: u32,
) -> rusqlite::Result<Vec<Versioned<Job>>> {
    db.prepare_cached(
        "-- jobs::open
        SELECT record, version FROM jobs
        WHERE session = ?1 AND open = ?2 AND open ORDER BY id LIMIT ?3",
    )?
    .query_map(
        params![session.ulid().to_bytes(), Open::kind(concurrency).0, limit],
        record::versioned,
    )?
    .collect()
}
