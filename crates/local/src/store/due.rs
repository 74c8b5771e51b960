//! The due records of all tables with a column `due_at`.

use domain::{DeliveryId, JobId, SessionId, Timestamp, WarmId, ports::Due};
use rusqlite::{Connection, Row, params};

use super::record::ulid;

/// The records that are due, the longest overdue first.
pub(super) fn list(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<Due>> {
    db.prepare_cached(
        "-- due::list
        SELECT * FROM (SELECT 'session' AS kind, id, NULL AS session, due_at FROM sessions
            WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)
        UNION ALL SELECT * FROM (SELECT 'job', id, session, due_at FROM jobs
            WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)
        UNION ALL SELECT * FROM (SELECT 'delivery', id, NULL, due_at FROM deliveries
            WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)
        UNION ALL SELECT * FROM (SELECT 'warm', id, NULL, due_at FROM warm
            WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)
        ORDER BY due_at LIMIT ?2",
    )?
    .query_map(params![now.millis(), limit], one)?
    .collect()
}

fn one(row: &Row<'_>) -> rusqlite::Result<Due> {
    let id = ulid(row, 1)?;
    Ok(match row.get_ref(0)?.as_str()? {
        "session" => Due::Session(SessionId::from_ulid(id)),
        "job" => {
            Due::Job { job: JobId::from_ulid(id), session: SessionId::from_ulid(ulid(row, 2)?) }
        }
        "delivery" => Due::Delivery(DeliveryId::from_ulid(id)),
        _ => Due::Warm(WarmId::from_ulid(id)),
    })
}

/// The earliest `due_at` of all records.
pub(super) fn next(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    db.prepare_cached(
        "-- due::next
        SELECT min(due_at) FROM (
            SELECT min(due_at) AS due_at FROM sessions WHERE due_at IS NOT NULL
            UNION ALL SELECT min(due_at) FROM jobs WHERE due_at IS NOT NULL
            UNION ALL SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL
            UNION ALL SELECT min(due_at) FROM warm WHERE due_at IS NOT NULL)",
    )?
    .query_one([], |row| row.get::<_, Option<i64>>(0))
    .map(|at| at.map(Timestamp::from_millis))
}
