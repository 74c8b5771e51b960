//! The table `output`: consecutive chunks without gaps.

use domain::{JobId, Secret, ports::Stream};
use rusqlite::{Connection, OptionalExtension, params, types::ValueRef};

/// A chunk of output.
pub(super) struct Row {
    job: [u8; 16],
    stream: &'static str,
    start: u64,
    bytes: Secret<Vec<u8>>,
}

impl Row {
    pub(super) fn new(job: JobId, stream: Stream, start: u64, bytes: Secret<Vec<u8>>) -> Self {
        Self { job: job.ulid().to_bytes(), stream: stream.name(), start, bytes }
    }

    /// Appends the chunk; false if it does not begin where the stored output ends.
    pub(super) fn append(&self, db: &Connection) -> rusqlite::Result<bool> {
        if self.end(db)? != self.start {
            return Ok(false);
        }
        if self.bytes.expose().is_empty() {
            return Ok(true);
        }
        db.prepare_cached(
            "-- output::append
            INSERT INTO output (job, stream, start, bytes) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![self.job, self.stream, self.start, self.bytes.expose()])
        .map(|rows| rows == 1)
    }

    fn end(&self, db: &Connection) -> rusqlite::Result<u64> {
        db.prepare_cached(
            "-- output::end
            SELECT start + length(bytes) FROM output WHERE job = ?1 AND stream = ?2
            ORDER BY start DESC LIMIT 1",
        )?
        .query_one(params![self.job, self.stream], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
    }
}

/// Bytes from `offset` on, across chunks.
pub(super) fn read(
    db: &Connection,
    job: JobId,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> rusqlite::Result<Secret<Vec<u8>>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    // The first chunk is the last one that does not begin after the offset.
    let mut chunks = db.prepare_cached(
        "-- output::read
        SELECT start, bytes FROM output WHERE job = ?1 AND stream = ?2 AND start >= (
            SELECT ifnull(max(start), 0) FROM output
            WHERE job = ?1 AND stream = ?2 AND start <= ?3)
        ORDER BY start",
    )?;
    // An offset that SQLite can't represent is beyond any output.
    let from = offset.min(i64::MAX.unsigned_abs());
    let mut rows = chunks.query(params![job.ulid().to_bytes(), stream.name(), from])?;
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let start: u64 = row.get(0)?;
        let ValueRef::Blob(chunk) = row.get_ref(1)? else { continue };
        let skip = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let tail = chunk.get(skip..).unwrap_or_default();
        found.extend_from_slice(&tail[..tail.len().min(limit - found.len())]);
    }
    Ok(Secret::new(found))
}
