//! What the sessions use of the host together, by the sizes in their records.

use domain::{SessionId, size::Size};
use rusqlite::{Connection, params};

/// An amount of memory and disk, and of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// MiB of memory.
    pub memory_mib: u64,
    /// MiB of disk.
    pub disk_mib: u64,
    /// How many sessions there are: each may have a fixed number of processes.
    pub sessions: u64,
}

/// Whether the host has room for this session beside all others that are not over.
pub(super) fn has_room(
    db: &Connection,
    session: SessionId,
    size: Size,
    limit: Option<Capacity>,
) -> rusqlite::Result<bool> {
    let Some(limit) = limit else { return Ok(true) };
    let used = sum(db, &session.ulid().to_bytes())?;
    Ok(used.memory_mib.saturating_add(size.memory_mib().into()) <= limit.memory_mib
        && used.disk_mib.saturating_add(size.disk_mib().into()) <= limit.disk_mib
        && used.sessions < limit.sessions)
}

/// What all sessions use that are not over.
pub(super) fn used(db: &Connection) -> rusqlite::Result<Capacity> {
    sum(db, &[])
}

/// A session that is not over is due at some time. One without a slot uses nothing. A record names only a disk
/// that is not the default.
fn sum(db: &Connection, except: &[u8]) -> rusqlite::Result<Capacity> {
    db.prepare_cached(
        "-- capacity::sum
        SELECT coalesce(sum(json_extract(record, '$.head.spec.size.memoryMib')), 0),
            coalesce(sum(coalesce(json_extract(record, '$.head.spec.size.diskMib'), ?2)), 0),
            count(*)
        FROM sessions WHERE due_at IS NOT NULL AND NOT waiting AND id <> ?1",
    )?
    .query_one(params![except, Size::DEFAULT.disk_mib()], |row| {
        Ok(Capacity { memory_mib: row.get(0)?, disk_mib: row.get(1)?, sessions: row.get(2)? })
    })
}
