//! Time and chance.

use async_trait::async_trait;
use ulid::Ulid;

use super::{BackendError, Version};
use crate::{JobId, Timestamp};

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now. May go backwards.
    fn now(&self) -> Timestamp;
}

/// New names and other chance.
pub trait Ids: Send + Sync {
    /// A ULID that sorts after all that this instance gave before.
    fn ulid(&self) -> Ulid;
    /// This many bytes that nobody can guess.
    fn secret(&self, bytes: usize) -> Vec<u8>;
    /// An even number in 0..1.
    fn fraction(&self) -> f64;
}

/// Waits for a record to change, so that long-polls need not ask again and again.
#[async_trait]
pub trait Changes: Send + Sync {
    /// Returns when the job has another version than `seen`, or at `until`; may return early.
    async fn job_changed(
        &self,
        job: JobId,
        seen: Version,
        until: Timestamp,
    ) -> Result<(), BackendError>;
}
