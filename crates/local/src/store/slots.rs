//! The table `quota`: how many sessions of each user hold a slot.

use domain::{UserId, ports::Quota};
use rusqlite::{Connection, OptionalExtension, params};

/// Takes a slot; false if the user has reached the limit.
pub(super) fn take(db: &Connection, user: &UserId, limit: u32) -> rusqlite::Result<bool> {
    if limit == 0 {
        return Ok(false);
    }
    db.prepare_cached(
        "-- slots::take
        INSERT INTO quota (user, active) VALUES (?1, 1)
        ON CONFLICT (user) DO UPDATE SET active = active + 1 WHERE active < ?2",
    )?
    .execute(params![user.as_str(), limit])
    .map(|rows| rows == 1)
}

/// Frees a slot. Always true: without a slot this has no effect.
pub(super) fn free(db: &Connection, user: &UserId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- slots::free
        UPDATE quota SET active = active - 1 WHERE user = ?1 AND active > 0",
    )?
    .execute([user.as_str()])
    .map(|_| true)
}

pub(super) fn quota(db: &Connection, user: &UserId) -> rusqlite::Result<Quota> {
    let active = db
        .prepare_cached(
            "-- slots::quota
            SELECT active FROM quota WHERE user = ?1",
        )?
        .query_one([user.as_str()], |row| row.get(0))
        .optional()?;
    let waiting = db
        .prepare_cached(
            "-- slots::waiting
            SELECT count(*) FROM sessions WHERE user = ?1 AND waiting",
        )?
        .query_one([user.as_str()], |row| row.get(0))?;
    Ok(Quota { active: active.unwrap_or_default(), waiting })
}
