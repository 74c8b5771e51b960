//! Removes records after their retention.

use domain::{Timestamp, ports::BackendError};
use rusqlite::{Connection, params};

use super::{record::ulid, user_events};

/// Removes up to `limit` sessions that ended before `before`, each with all its records, up to `limit`
/// responses that expired before then, as many final warm tasks created before then and as many events
/// from before then. Returns how many of all these.
pub(super) fn forget(db: &Connection, before: Timestamp, limit: u32) -> Result<u32, BackendError> {
    sessions(db, before, limit)
        .and_then(|sessions| Ok(sessions + answers(db, before, limit)?))
        .and_then(|others| Ok(others + warm(db, before, limit)?))
        .and_then(|others| Ok(others + user_events::forget(db, before, limit)?))
        .map(|rows| u32::try_from(rows).unwrap_or(u32::MAX))
        .map_err(|error| BackendError::new("forgetting records", error))
}

/// Removes ended sessions, except those with a job or a delivery that is still due.
fn sessions(db: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    let ended: Vec<[u8; 16]> = db
        .prepare_cached(
            "-- forget::sessions
            SELECT id FROM sessions AS s WHERE ended_at < ?1
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE session = s.id AND due_at IS NOT NULL)
                AND NOT EXISTS (
                    SELECT 1 FROM deliveries WHERE session = s.id AND due_at IS NOT NULL)
            ORDER BY ended_at LIMIT ?2",
        )?
        .query_map(params![before.millis(), limit], |row| ulid(row, 0).map(|id| id.to_bytes()))?
        .collect::<rusqlite::Result<_>>()?;
    for session in &ended {
        for sql in OF_SESSION {
            db.prepare_cached(sql)?.execute([session])?;
        }
    }
    Ok(ended.len())
}

const OF_SESSION: [&str; 9] = [
    "-- forget::output
    DELETE FROM output WHERE job IN (SELECT id FROM jobs WHERE session = ?1)",
    "-- forget::jobs
    DELETE FROM jobs WHERE session = ?1",
    "-- forget::commands
    DELETE FROM commands WHERE session = ?1",
    "-- forget::variables
    DELETE FROM variables WHERE session = ?1",
    "-- forget::entries
    DELETE FROM entries WHERE session = ?1",
    "-- forget::deliveries
    DELETE FROM deliveries WHERE session = ?1",
    "-- forget::turns
    DELETE FROM turns WHERE session = ?1",
    "-- forget::session
    DELETE FROM sessions WHERE id = ?1",
    "-- forget::usage
    DELETE FROM usage WHERE session = ?1",
];

fn answers(db: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "-- forget::answers
        DELETE FROM answers WHERE rowid IN (
            SELECT rowid FROM answers WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
    )?
    .execute(params![before.millis(), limit])
}

fn warm(db: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    // The first six bytes of an id are the time at which it was created.
    let created = ulid::Ulid::from_parts(before.millis().unsigned_abs(), 0).to_bytes();
    db.prepare_cached(
        "-- forget::warm
        DELETE FROM warm WHERE rowid IN (
            SELECT rowid FROM warm WHERE id < ?1 AND due_at IS NULL LIMIT ?2)",
    )?
    .execute(params![created, limit])
}
