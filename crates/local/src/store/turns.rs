//! The table `turns`: the serial job of each session that has the turn.

use domain::{JobId, SessionId};
use rusqlite::{Connection, params};

/// Takes the turn; false while another job has it.
pub(super) fn take(db: &Connection, session: SessionId, job: JobId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- turns::take
        INSERT INTO turns (session, job) VALUES (?1, ?2)
        ON CONFLICT (session) DO UPDATE SET job = excluded.job WHERE job = excluded.job",
    )?
    .execute(params![session.ulid().to_bytes(), job.ulid().to_bytes()])
    .map(|rows| rows == 1)
}

/// Ends the turn. Always true: without the turn this has no effect.
pub(super) fn end(db: &Connection, session: SessionId, job: JobId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- turns::end
        DELETE FROM turns WHERE session = ?1 AND job = ?2",
    )?
    .execute(params![session.ulid().to_bytes(), job.ulid().to_bytes()])
    .map(|_| true)
}
