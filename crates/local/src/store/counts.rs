//! The numbers of records, for metrics.

use rusqlite::Connection;

/// The numbers of sessions and of unfinished jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// The API's name of each status, with the number of its sessions; a status without sessions is
    /// left out.
    pub sessions: Vec<(String, u64)>,
    /// The number of unfinished jobs of all types.
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
