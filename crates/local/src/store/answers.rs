//! The table `answers`: the responses to requests with an idempotency key.

use domain::{
    Timestamp, UserId,
    ports::{BackendError, IdempotentResponse},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::record;

/// An encoded response.
pub(super) struct Row {
    user: UserId,
    key: String,
    created_at: i64,
    expires_at: i64,
    record: String,
}

impl Row {
    pub(super) fn new(answer: IdempotentResponse) -> Result<Self, BackendError> {
        Ok(Self {
            record: record::encode(&answer)?,
            created_at: answer.created_at.millis(),
            expires_at: answer.expires_at.millis(),
            user: answer.user,
            key: answer.key,
        })
    }

    /// Stores the response; false if the key has another one that has not expired.
    pub(super) fn put(&self, db: &Connection) -> rusqlite::Result<bool> {
        db.prepare_cached(
            "-- answers::drop_expired
            DELETE FROM answers WHERE user = ?1 AND key = ?2 AND expires_at <= ?3",
        )?
        .execute(params![self.user.as_str(), self.key, self.created_at])?;
        db.prepare_cached(
            "-- answers::put
            INSERT INTO answers (user, key, expires_at, record) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![self.user.as_str(), self.key, self.expires_at, self.record])
        .map(|rows| rows == 1)
    }
}

pub(super) fn find(
    db: &Connection,
    user: &UserId,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<IdempotentResponse>> {
    db.prepare_cached(
        "-- answers::find
        SELECT record FROM answers WHERE user = ?1 AND key = ?2 AND expires_at > ?3",
    )?
    .query_one(params![user.as_str(), key, now.millis()], record::plain)
    .optional()
}
