//! The table `commands`: the commands of unfinished jobs that are too large for the job's record. A record
//! is written many times and read by every list; a command is written once and read when it starts.

use domain::{
    JobId, Secret, SessionId,
    command::Command,
    ports::{BackendError, QueueLimits},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::record::{self, Json};

/// Commands up to this size stay in the record. Bytes of JSON.
const MAX_INLINE: usize = 512;

/// A large command, encoded. Its input is stored as bytes: as JSON numbers it would take four times its
/// size.
pub(super) struct Row {
    record: String,
    stdin: Secret<Vec<u8>>,
}

impl Row {
    /// The row of a command; none if it is small, or only an outline.
    pub(super) fn new(command: &Command) -> Result<Option<Self>, BackendError> {
        if command.is_outline() {
            return Ok(None);
        }
        let mut rest = command.clone();
        let stdin = std::mem::take(&mut rest.stdin);
        let record = record::encode(&rest)?;
        let is_small = stdin.expose().is_empty() && record.len() <= MAX_INLINE;
        Ok((!is_small).then_some(Self { record, stdin }))
    }

    pub(super) fn insert(
        &self,
        db: &Connection,
        job: [u8; 16],
        session: [u8; 16],
    ) -> rusqlite::Result<()> {
        let size = self.record.len() + self.stdin.expose().len();
        db.prepare_cached(
            "-- commands::insert
            INSERT INTO commands (job, session, size, record, stdin) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![job, session, size, self.record, self.stdin.expose()])
        .map(drop)
    }
}

/// Drops the command of a job that has finished, if it is stored.
pub(super) fn drop_of(db: &Connection, job: [u8; 16]) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- commands::drop
        DELETE FROM commands WHERE job = ?1",
    )?
    .execute([job])
    .map(drop)
}

/// The whole command of a job.
pub(super) fn find(db: &Connection, job: JobId) -> rusqlite::Result<Option<Command>> {
    db.prepare_cached(
        "-- commands::find
        SELECT record, stdin FROM commands WHERE job = ?1",
    )?
    .query_one([job.ulid().to_bytes()], |row| {
        let Json(mut command): Json<Command> = row.get(0)?;
        command.stdin = Secret::new(row.get(1)?);
        Ok(command)
    })
    .optional()
}

/// Whether the session's unfinished commands leave room for one more of this many bytes.
pub(super) fn has_room(
    db: &Connection,
    session: SessionId,
    bytes: u64,
    limits: QueueLimits,
) -> rusqlite::Result<bool> {
    let session = session.ulid().to_bytes();
    let jobs: u32 = db
        .prepare_cached(
            "-- commands::open
            SELECT count(*) FROM jobs WHERE session = ?1 AND open",
        )?
        .query_one([session], |row| row.get(0))?;
    let stored: u64 = db
        .prepare_cached(
            "-- commands::size
            SELECT ifnull(sum(size), 0) FROM commands WHERE session = ?1",
        )?
        .query_one([session], |row| row.get(0))?;
    Ok(jobs < limits.jobs && stored.saturating_add(bytes) <= limits.bytes)
}
