//! The table `user_events`.

use domain::{
    Timestamp, UserId,
    ports::BackendError,
    user_event::{EventNumber, UserEvent},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::record;

/// An event, encoded.
pub(super) struct Row {
    user: UserId,
    session: [u8; 16],
    at: i64,
    record: String,
}

impl Row {
    pub(super) fn new(event: &UserEvent) -> Result<Self, BackendError> {
        let session = event.session.ulid().to_bytes();
        let record = record::encode(event)?;
        Ok(Self { user: event.user.clone(), session, at: event.at.millis(), record })
    }

    /// Adds the event as the last one of its user. Always true.
    pub(super) fn add(&self, db: &Connection) -> rusqlite::Result<bool> {
        let seq: i64 = db
            .prepare_cached(
                "-- user_events::count
                INSERT INTO quota (user, active, events) VALUES (?1, 0, 1)
                ON CONFLICT (user) DO UPDATE SET events = events + 1 RETURNING events",
            )?
            .query_one([self.user.as_str()], |row| row.get(0))?;
        db.prepare_cached(
            "-- user_events::add
            INSERT INTO user_events (user, seq, session, at, record) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![self.user.as_str(), seq, self.session, self.at, self.record])
        .map(|_| true)
    }
}

/// The first `limit` of a user's events after this number.
pub(super) fn after(
    db: &Connection,
    user: &UserId,
    EventNumber(after): EventNumber,
    limit: u32,
) -> rusqlite::Result<Vec<(EventNumber, UserEvent)>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    db.prepare_cached(
        "-- user_events::after
        SELECT record, seq FROM user_events WHERE user = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?
    .query_map(params![user.as_str(), after, limit], |row| {
        Ok((EventNumber(row.get(1)?), record::plain(row)?))
    })?
    .collect()
}

/// The first `limit` events of all users after this one, with their numbers among all events.
pub(crate) fn of_all_users(
    db: &Connection,
    after: i64,
    limit: u32,
) -> rusqlite::Result<Vec<(i64, UserEvent)>> {
    db.prepare_cached(
        "-- user_events::of_all_users
        SELECT record, id FROM user_events WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?
    .query_map(params![after, limit], |row| Ok((row.get(1)?, record::plain(row)?)))?
    .collect()
}

/// The number of a user's last event; 0 if there is none.
pub(crate) fn last(db: &Connection, user: &UserId) -> rusqlite::Result<EventNumber> {
    let last = db
        .prepare_cached(
            "-- user_events::last
            SELECT events FROM quota WHERE user = ?1",
        )?
        .query_one([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(EventNumber(last.unwrap_or_default()))
}

/// Removes the events before this time, as far as they are among the `limit` oldest ones.
pub(super) fn forget(db: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "-- user_events::forget
        DELETE FROM user_events WHERE at < ?1
            AND id IN (SELECT id FROM user_events ORDER BY id LIMIT ?2)",
    )?
    .execute(params![before.millis(), limit])
}
