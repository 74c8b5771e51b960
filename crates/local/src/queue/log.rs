//! The tables `messages` and `dead_letters`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{
    Timestamp,
    message::{Lane, Message},
    ports::BackendError,
};
use rusqlite::{Connection, Row, params};

use crate::database::Database;

/// A message's row: there, on its way or not needed any more.
pub(super) struct Logged {
    id: u64,
    body: Arc<str>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    attempts: u32,
    written: bool,
    over: bool,
}

pub(super) fn encode(message: &Message) -> Result<Arc<str>, BackendError> {
    serde_json::to_string(message)
        .map(Arc::from)
        .map_err(|error| BackendError::new("encoding a message", error))
}

impl Logged {
    pub(super) fn new(id: u64, body: Arc<str>) -> Self {
        Self { id, body, state: Mutex::new(State { attempts: 0, written: false, over: false }) }
    }

    fn found(id: u64, attempts: u32, body: Arc<str>) -> Self {
        Self { id, body, state: Mutex::new(State { attempts, written: true, over: false }) }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn body(&self) -> &Arc<str> {
        &self.body
    }

    pub(super) fn attempts(&self) -> u32 {
        self.state().attempts
    }

    /// Has the row written, unless the message is over by then.
    pub(super) fn sent(self: &Arc<Self>, db: &Database) {
        let logged = Arc::clone(self);
        db.later(move |db| {
            let mut state = logged.state();
            if state.over {
                return Ok(());
            }
            db.prepare_cached(
                "-- log::sent
                INSERT OR REPLACE INTO messages (id, attempts, body) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![logged.id, state.attempts, logged.body])?;
            state.written = true;
            Ok(())
        });
    }

    /// Counts a receipt: a message that brings the process down must not come for ever.
    pub(super) fn received(&self, db: &Database, attempts: u32) {
        let mut state = self.state();
        state.attempts = attempts;
        if state.written {
            let id = self.id;
            db.later(move |db| {
                db.prepare_cached(
                    "-- log::received
                    UPDATE messages SET attempts = ?2 WHERE id = ?1",
                )?
                .execute(params![id, attempts])
                .map(drop)
            });
        }
    }

    /// The message is over.
    pub(super) fn done(&self, db: &Database) {
        let mut state = self.state();
        state.over = true;
        if state.written {
            let id = self.id;
            db.later(move |db| delete(db, id));
        }
    }

    /// The message is over, but kept to be looked at.
    pub(super) fn dead(&self, db: &Database, lane: Lane, reason: &str, at: Timestamp) {
        self.state().over = true;
        let (id, body, reason) = (self.id, Arc::clone(&self.body), reason.to_owned());
        db.later(move |db| {
            db.prepare_cached(
                "-- log::dead
                INSERT OR REPLACE INTO dead_letters (id, lane, reason, died_at, body)
                VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![id, lane.name(), reason, at.millis(), body])?;
            delete(db, id)
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn delete(db: &Connection, id: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- log::delete
        DELETE FROM messages WHERE id = ?1",
    )?
    .execute([id])
    .map(drop)
}

/// All messages that are not over, in the order in which they were sent.
pub(super) fn load(db: &Connection) -> rusqlite::Result<Vec<(Message, Arc<Logged>)>> {
    db.prepare(
        "-- log::load
        SELECT id, attempts, body FROM messages ORDER BY id",
    )?
    .query_map([], one)?
    .filter_map(Result::transpose)
    .collect()
}

/// Reads a row of `id, attempts, body`. A message that this version can't read is left out: the
/// records are due without it.
fn one(row: &Row<'_>) -> rusqlite::Result<Option<(Message, Arc<Logged>)>> {
    let body: Arc<str> = row.get(2)?;
    let Ok(message) = serde_json::from_str(&body) else {
        tracing::warn!("left out a stored message that this version can't read");
        return Ok(None);
    };
    Ok(Some((message, Arc::new(Logged::found(row.get(0)?, row.get(1)?, body)))))
}

/// The largest id that was ever given and is still known.
pub(super) fn last_id(db: &Connection) -> rusqlite::Result<u64> {
    db.query_one(
        "-- log::last_id
        SELECT max(ifnull((SELECT max(id) FROM messages), 0),
            ifnull((SELECT max(id) FROM dead_letters), 0))",
        [],
        |row| row.get(0),
    )
}

/// How many dead letters each lane has.
pub(super) fn count_dead(db: &Connection) -> rusqlite::Result<Vec<(String, usize)>> {
    db.prepare(
        "-- log::count_dead
        SELECT lane, count(*) FROM dead_letters GROUP BY lane",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Makes messages of a lane's dead letters.
pub(super) fn revive(
    db: &Connection,
    lane: Lane,
) -> Result<Vec<(Message, Arc<Logged>)>, BackendError> {
    move_back(db, lane).map_err(|error| BackendError::new("sending dead letters again", error))
}

fn move_back(db: &Connection, lane: Lane) -> rusqlite::Result<Vec<(Message, Arc<Logged>)>> {
    let revived = db
        .prepare(
            "-- log::revive
            INSERT INTO messages (id, attempts, body)
            SELECT id, 0, body FROM dead_letters WHERE lane = ?1 ORDER BY id
            RETURNING id, attempts, body",
        )?
        .query_map([lane.name()], one)?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    db.prepare(
        "-- log::revived
        DELETE FROM dead_letters WHERE lane = ?1",
    )?
    .execute([lane.name()])?;
    Ok(revived)
}
