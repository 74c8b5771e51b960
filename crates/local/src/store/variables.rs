//! The table `variables`: the environment variables of sessions, if they are too large for the record.

use std::collections::BTreeMap;

use domain::{
    Secret, SessionId,
    ports::{BackendError, Versioned},
    session::Session,
};
use rusqlite::{Connection, OptionalExtension};

use super::record;

/// Variables up to this size stay in the record. Bytes of JSON.
const MAX_INLINE: usize = 512;

/// The encoded variables of a session; none if they are small.
pub(super) fn encode(session: &Session) -> Result<Option<String>, BackendError> {
    let record = record::encode(&session.common().spec.env)?;
    Ok((record.len() > MAX_INLINE).then_some(record))
}

pub(super) fn insert(db: &Connection, session: [u8; 16], record: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- variables::insert
        INSERT INTO variables (session, record) VALUES (?1, ?2)",
    )?
    .execute((session, record))
    .map(drop)
}

/// Drops the variables of a session that has ended, if they are stored.
pub(super) fn drop_of(db: &Connection, session: [u8; 16]) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- variables::drop
        DELETE FROM variables WHERE session = ?1",
    )?
    .execute([session])
    .map(drop)
}

/// The session with its variables.
pub(super) fn restore(
    db: &Connection,
    id: SessionId,
    read: Versioned<Session>,
) -> rusqlite::Result<Versioned<Session>> {
    let found: Option<Secret<BTreeMap<String, String>>> = db
        .prepare_cached(
            "-- variables::find
            SELECT record FROM variables WHERE session = ?1",
        )?
        .query_one([id.ulid().to_bytes()], record::plain)
        .optional()?;
    Ok(match found {
        Some(env) => Versioned { value: read.value.with_env(env), version: read.version },
        None => read,
    })
}
