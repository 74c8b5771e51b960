//! How many records there are, for metrics.

use rusqlite::Connection;

/// Sessions by status, and jobs that are not over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// The API's word for a status, and how many sessions have it. Left out if none has.
    pub sessions: Vec<(String, u64)>,
    /// Jobs of all types that are not final.
    pub open_jobs: u64,
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Counts> {
    let sessions = db
        .prepare_cached(
            "-- counts::sessions
            SELECT status, count(*) FROM sessions GROUP BY status ORDER BY status",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let open_jobs = db
        .prepare_cached(
            "-- counts::open_jobs
            SELECT count(*) FROM jobs WHERE due_at IS NOT NULL",
        )?
        .query_one([], |row| row.get(0))?;
    Ok(Counts { sessions, open_jobs })
}
