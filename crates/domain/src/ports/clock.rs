//! Time, ids, random numbers, and changes of records.

use async_trait::async_trait;
use ulid::Ulid;

use super::{BackendError, Version};
use crate::{JobId, Timestamp, UserId, user_event::EventNumber};

/// The wall clock.
pub trait Clock: Send + Sync {
    /// The current time. It may go back when the clock is set.
    fn now(&self) -> Timestamp;
}

/// New ids and random numbers.
pub trait Ids: Send + Sync {
    /// A ULID that sorts after all earlier ones of this instance.
    fn ulid(&self) -> Ulid;
    /// This many cryptographically secure random bytes.
    fn secret(&self, bytes: usize) -> Vec<u8>;
    /// A uniformly distributed number in `0.0..1.0`.
    fn fraction(&self) -> f64;
}

/// Waits for a record to change, for long polls.
#[async_trait]
pub trait Changes: Send + Sync {
    /// Returns when the job has another version than `seen`, or at `until`. It may return earlier: the
    /// caller reads the record again.
    async fn job_changed(
        &self,
        job: JobId,
        seen: Version,
        until: Timestamp,
    ) -> Result<(), BackendError>;

    /// Returns when the user has an event after number `seen`, or at `until`. It may return earlier: the
    /// caller reads the events again.
    async fn event_added(
        &self,
        user: &UserId,
        seen: EventNumber,
        until: Timestamp,
    ) -> Result<(), BackendError>;
}
