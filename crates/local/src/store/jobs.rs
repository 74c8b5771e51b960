//! The table `jobs`.

use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::Job,
    ports::{BackendError, Page, Version, Versioned},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::record::{self, BEFORE_ALL};

/// A job, encoded.
pub(super) struct Row {
    id: [u8; 16],
    session: [u8; 16],
    open: Open,
    due_at: Option<i64>,
    record: String,
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
        Ok(Self {
            id: job.id().ulid().to_bytes(),
            session: job.common().session.ulid().to_bytes(),
            open: Open::of(job),
            due_at,
            record: record::encode(job)?,
        })
    }
}

impl record::Row for Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- jobs::insert
            INSERT INTO jobs (id, session, open, due_at, version, record)
            VALUES (?1, ?2, ?3, ?4, 1, ?5)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![self.id, self.session, self.open.0, self.due_at, self.record])
    }

    fn update(&self, db: &Connection, Version(read): Version) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- jobs::update
            UPDATE jobs SET open = ?3, due_at = ?4, version = version + 1, record = ?5
            WHERE id = ?1 AND version = ?2",
        )?
        .execute(params![self.id, read, self.open.0, self.due_at, self.record])
    }
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
