//! Releases the leases of an earlier process.

use domain::{
    Timestamp,
    job::Job,
    ports::{BackendError, Expect, Versioned},
    session::Session,
};
use rusqlite::Connection;

use super::{jobs, record, record::Row, sessions};

/// Makes all unfinished sessions and jobs due now, and releases the leases of running jobs.
pub(super) fn release(db: &Connection, now: Timestamp) -> Result<u32, BackendError> {
    let failed = |error| BackendError::new("releasing leases", error);
    let mut released = 0;
    for read in due_after(db, "jobs", now).map_err(failed)? {
        let job: Job = match read.value {
            Job::Queued(job) => job.recheck_at(now).into(),
            Job::Running(job) => job.release_lease(now).into(),
            Job::Finished(_) => continue,
        };
        jobs::Row::new(&job)?.put(db, Expect::At(read.version)).map_err(failed)?;
        released += 1;
    }
    for read in due_after::<Session>(db, "sessions", now).map_err(failed)? {
        let session = read.value.recheck_at(now);
        sessions::Row::new(&session)?.put(db, Expect::At(read.version)).map_err(failed)?;
        released += 1;
    }
    Ok(released)
}

fn due_after<T: serde::de::DeserializeOwned>(
    db: &Connection,
    table: &'static str,
    now: Timestamp,
) -> rusqlite::Result<Vec<Versioned<T>>> {
    db.prepare(&format!(
        "-- leases::due_after
        SELECT record, version FROM {table} WHERE due_at > ?1"
    ))?
    .query_map([now.millis()], record::versioned)?
    .collect()
}
