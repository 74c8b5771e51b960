//! The table `quota`: how many sessions of each user hold a slot, and how fast each user starts them.

use domain::{
    Timestamp, UserId,
    ports::{BackendError, CommitError, Quota},
    rate::{Empty, Rate},
};
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

/// Counts a start of this user.
///
/// # Errors
/// `RateLimited` if the user has started sessions faster than the rate allows.
pub(super) fn count_start(
    db: &Connection,
    user: &UserId,
    at: Timestamp,
    rate: Rate,
) -> Result<(), CommitError> {
    let failed = |error| BackendError::new("counting a start", error);
    let full_at: Option<Option<i64>> = db
        .prepare_cached(
            "-- slots::full_at
            SELECT starts_full_at FROM quota WHERE user = ?1",
        )
        .and_then(|mut select| select.query_one([user.as_str()], |row| row.get(0)).optional())
        .map_err(failed)?;
    let full_at = full_at.flatten().map(Timestamp::from_millis);
    let full_at = rate.take(full_at, at).map_err(|Empty(wait)| CommitError::RateLimited(wait))?;
    db.prepare_cached(
        "-- slots::count_start
        INSERT INTO quota (user, active, starts_full_at) VALUES (?1, 0, ?2)
        ON CONFLICT (user) DO UPDATE SET starts_full_at = ?2",
    )
    .and_then(|mut update| update.execute(params![user.as_str(), full_at.millis()]))
    .map_err(failed)?;
    Ok(())
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
