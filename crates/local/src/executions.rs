//! What must be known to go on with an execution after a restart.

use std::fmt;

use domain::{SessionId, Timestamp, ports::BackendError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use ulid::Ulid;

use crate::database::Database;

/// A stored execution. `Debug` leaves its state out: that holds task tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Execution {
    /// The session that it drives; there is one for each.
    pub session: SessionId,
    /// When it goes on by itself, if it does.
    pub wake_at: Option<Timestamp>,
    /// Its state, as the driver gave it.
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

/// The executions that are not over.
#[derive(Debug, Clone)]
pub struct Executions {
    db: Database,
}

impl Executions {
    /// Those in this database.
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Stores an execution, in the order of all writes, and does not wait for the disk: after a
    /// crash its last step may be missing, but never while a later commit is there.
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

    /// Forgets an execution that is over; does not wait for the disk.
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

    /// The execution of a session. Sees all that was put before.
    pub async fn get(&self, session: SessionId) -> Result<Option<Execution>, BackendError> {
        self.db.flush().await?;
        self.db.read("reading an execution", |db| find(db, session))
    }

    /// All executions. Sees all that was put before.
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
