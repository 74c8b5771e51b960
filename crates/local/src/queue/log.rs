//! The tables `messages` and `dead_letters`.

use std::sync::Arc;

use domain::{
    Timestamp,
    message::{Lane, Message},
    ports::BackendError,
};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};

use crate::database::Database;

/// The row of a message: written, queued for the writer, or not needed any more.
pub(super) struct LoggedMessage {
    id: u64,
    body: Arc<str>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    attempts: u32,
    written: bool,
    done: bool,
}

pub(super) fn encode(message: &Message) -> Result<Arc<str>, BackendError> {
    serde_json::to_string(message)
        .map(Arc::from)
        .map_err(|error| BackendError::new("encoding a message", error))
}

impl LoggedMessage {
    pub(super) fn new(id: u64, body: Arc<str>) -> Self {
        Self { id, body, state: Mutex::new(State { attempts: 0, written: false, done: false }) }
    }

    fn found(id: u64, attempts: u32, body: Arc<str>) -> Self {
        Self { id, body, state: Mutex::new(State { attempts, written: true, done: false }) }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn body(&self) -> &Arc<str> {
        &self.body
    }

    pub(super) fn attempts(&self) -> u32 {
        self.state.lock().attempts
    }

    /// Queues the row for the writer; it is not written if the message is done by then.
    pub(super) fn sent(self: &Arc<Self>, db: &Database) {
        let logged = Arc::clone(self);
        db.later(move |db| {
            let mut state = logged.state.lock();
            if state.done {
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

    /// Stores the number of receipts, so that a message which kills the process becomes a dead letter.
    pub(super) fn received(&self, db: &Database, attempts: u32) {
        let mut state = self.state.lock();
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

    /// The message was acknowledged: its row is deleted.
    pub(super) fn done(&self, db: &Database) {
        let mut state = self.state.lock();
        state.done = true;
        if state.written {
            let id = self.id;
            db.later(move |db| delete(db, id));
        }
    }

    /// The message is a dead letter: its row moves to `dead_letters`.
    pub(super) fn dead(&self, db: &Database, lane: Lane, reason: &str, at: Timestamp) {
        self.state.lock().done = true;
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
}

fn delete(db: &Connection, id: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- log::delete
        DELETE FROM messages WHERE id = ?1",
    )?
    .execute([id])
    .map(drop)
}

/// All messages that were not acknowledged, in the order in which they were sent.
pub(super) fn load(db: &Connection) -> rusqlite::Result<Vec<(Message, Arc<LoggedMessage>)>> {
    db.prepare(
        "-- log::load
        SELECT id, attempts, body FROM messages ORDER BY id",
    )?
    .query_map([], one)?
    .filter_map(Result::transpose)
    .collect()
}

/// Reads a row of `id, attempts, body`; none if this version can't decode the message. The sweep makes
/// up for such a message when its record is due.
fn one(row: &Row<'_>) -> rusqlite::Result<Option<(Message, Arc<LoggedMessage>)>> {
    let body: Arc<str> = row.get(2)?;
    let Ok(message) = serde_json::from_str(&body) else {
        tracing::warn!(
            "skipped a stored message that this version can't decode; the sweep takes its record up when \
             it is due"
        );
        return Ok(None);
    };
    Ok(Some((message, Arc::new(LoggedMessage::found(row.get(0)?, row.get(1)?, body)))))
}

/// The largest id of a stored message or dead letter.
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

/// Turns the dead letters of a lane into messages again.
pub(super) fn redrive(
    db: &Connection,
    lane: Lane,
) -> Result<Vec<(Message, Arc<LoggedMessage>)>, BackendError> {
    move_back(db, lane).map_err(|error| BackendError::new("sending dead letters again", error))
}

fn move_back(db: &Connection, lane: Lane) -> rusqlite::Result<Vec<(Message, Arc<LoggedMessage>)>> {
    let redriven = db
        .prepare(
            "-- log::redrive
            INSERT INTO messages (id, attempts, body)
            SELECT id, 0, body FROM dead_letters WHERE lane = ?1 ORDER BY id
            RETURNING id, attempts, body",
        )?
        .query_map([lane.name()], one)?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    db.prepare(
        "-- log::redriven
        DELETE FROM dead_letters WHERE lane = ?1",
    )?
    .execute([lane.name()])?;
    Ok(redriven)
}
