//! The table `entries`.

use domain::{SessionId, ports::BackendError, timeline::Entry};
use rusqlite::{Connection, params};

use super::record;

/// An entry, encoded.
pub(super) struct Row {
    session: [u8; 16],
    seq: u32,
    record: String,
}

impl Row {
    pub(super) fn new(entry: &Entry) -> Result<Self, BackendError> {
        let session = entry.session.ulid().to_bytes();
        Ok(Self { session, seq: entry.seq, record: record::encode(entry)? })
    }

    /// Adds the entry; false if the session has an entry with this number.
    pub(super) fn add(&self, db: &Connection) -> rusqlite::Result<bool> {
        db.prepare_cached(
            "-- timeline::add
            INSERT INTO entries (session, seq, record) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![self.session, self.seq, self.record])
        .map(|rows| rows == 1)
    }
}

pub(super) fn after(
    db: &Connection,
    session: SessionId,
    after: u32,
    limit: u32,
) -> rusqlite::Result<Vec<Entry>> {
    db.prepare_cached(
        "-- timeline::after
        SELECT record FROM entries WHERE session = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?
    .query_map(params![session.ulid().to_bytes(), after, limit], record::plain)?
    .collect()
}
