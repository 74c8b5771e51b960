//! The stored executions, from which a new process resumes.

use std::fmt;

use domain::{SessionId, Timestamp, ports::BackendError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use ulid::Ulid;

use crate::database::Database;

/// A stored execution. `Debug` leaves out its state, which holds task tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Execution {
    /// The session that the execution drives. A session has one execution.
    pub session: SessionId,
    /// When its timer fires, if it waits.
    pub wake_at: Option<Timestamp>,
    /// Its state as JSON.
    pub json: String,
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, wake_at, .. } = self;
        f.debug_struct("Execution")
            .field("session", session)
            .field("wake_at", wake_at)
            .finish_non_exhaustive()
    }
}

/// The executions that have not ended.
#[derive(Debug, Clone)]
pub struct Executions {
    db: Database,
}

impl Executions {
    /// The executions in this database.
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Stores an execution without waiting for the disk, in the order of all writes. A crash may lose
    /// its last step, but only together with all later commits.
    pub fn put(&self, execution: Execution) {
        self.db.later(move |db| {
            db.prepare_cached(
                "-- executions::put
                INSERT OR REPLACE INTO executions (session, wake_at, record) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                execution.session.ulid().to_bytes(),
                execution.wake_at.map(Timestamp::millis),
                execution.json,
            ])
            .map(drop)
        });
    }

    /// Removes an execution that has ended, without waiting for the disk.
    pub fn delete(&self, session: SessionId) {
        self.db.later(move |db| {
            db.prepare_cached(
                "-- executions::delete
                DELETE FROM executions WHERE session = ?1",
            )?
            .execute([session.ulid().to_bytes()])
            .map(drop)
        });
    }

    /// The execution of a session, as it was stored last.
    pub async fn get(&self, session: SessionId) -> Result<Option<Execution>, BackendError> {
        self.db.flush().await?;
        self.db.read("reading an execution", |db| find(db, session))
    }

    /// All executions, as they were stored last.
    pub async fn all_open(&self) -> Result<Vec<Execution>, BackendError> {
        self.db.flush().await?;
        self.db.read("reading the executions", all)
    }
}

fn find(db: &Connection, session: SessionId) -> rusqlite::Result<Option<Execution>> {
    db.prepare_cached(
        "-- executions::find
        SELECT session, wake_at, record FROM executions WHERE session = ?1",
    )?
    .query_one([session.ulid().to_bytes()], one)
    .optional()
}

fn all(db: &Connection) -> rusqlite::Result<Vec<Execution>> {
    db.prepare(
        "-- executions::all
        SELECT session, wake_at, record FROM executions ORDER BY session",
    )?
    .query_map([], one)?
    .collect()
}

fn one(row: &Row<'_>) -> rusqlite::Result<Execution> {
    Ok(Execution {
        session: SessionId::from_ulid(Ulid::from_bytes(row.get(0)?)),
        wake_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
        json: row.get(2)?,
    })
}

#[cfg(test)]
mod tests;
