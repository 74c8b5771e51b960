//! The table `usage`: how many bytes each session stores, counted by triggers; `quota` has those of each
//! user.

use domain::{SessionId, UserId, ports::StorageLimits};
use rusqlite::{Connection, params};

/// Whether the user and the session may store this many more bytes.
pub(super) fn has_room(
    db: &Connection,
    user: &UserId,
    session: SessionId,
    bytes: u64,
    limits: StorageLimits,
) -> rusqlite::Result<bool> {
    let limit = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    db.prepare_cached(
        "-- usage::has_room
        SELECT ifnull((SELECT bytes FROM quota WHERE user = ?1), 0) + ?3 <= ?4
            AND ifnull((SELECT bytes FROM usage WHERE session = ?2), 0) + ?3 <= ?5",
    )?
    .query_one(
        params![
            user.as_str(),
            session.ulid().to_bytes(),
            bytes,
            limit(limits.user),
            limit(limits.session)
        ],
        |row| row.get(0),
    )
}
