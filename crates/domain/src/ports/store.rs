//! The records. All writes go through [`Store::commit`]: conditional, all or none.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{BackendError, Stream};
use crate::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::Concurrency,
    job::Job,
    session::{self, Session},
    timeline::Entry,
    warm::{self, Warm},
    webhook::Delivery,
};

/// Counts the writes of a record; 1 after the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A record and the version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// What a write must find to succeed.
    pub version: Version,
}

/// What a write must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No record.
    New,
    /// The record as it was read.
    At(Version),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A session's record, with the version it must have.
    Session(Box<Session>, Expect),
    /// A job's record, with the version it must have.
    Job(Box<Job>, Expect),
    /// A timeline entry that must not be there yet.
    Entry(Box<Entry>),
    /// Output that must begin where the stored output of that stream ends.
    Output { job: JobId, stream: Stream, offset: u64, bytes: Secret<Vec<u8>> },
    /// A delivery, with the version it must have.
    Delivery(Box<Delivery>, Expect),
    /// A warm task, with the version it must have.
    Warm(Box<Warm>, Expect),
    /// An answer to a request with an idempotency key; fails with `Answered` while another is kept.
    IdempotentResponse(Box<IdempotentResponse>),
    /// One more active session of this user; fails with `QuotaReached` at the limit.
    TakeSlot { user: UserId, limit: u32 },
    /// One active session less.
    FreeSlot { user: UserId },
    /// The session's serial job begins; fails with `Conflict` while another one has the turn.
    TakeTurn { session: SessionId, job: JobId },
    /// The session's serial job is over. No effect if it has not the turn.
    EndTurn { session: SessionId, job: JobId },
    /// The session takes jobs; fails with `Closed` otherwise.
    RequireOpen(SessionId),
}

/// Why nothing of a transaction was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record is not as it was read: read again, decide again.
    #[error("a record changed meanwhile")]
    Conflict,
    /// The user has as many sessions as it may.
    #[error("the quota is reached")]
    QuotaReached,
    /// A request with this idempotency key was accepted before.
    #[error("the request was accepted before")]
    AlreadyAnswered,
    /// The session takes no more jobs.
    #[error("the session takes no more jobs")]
    Closed,
    /// Try again; the writes may have been done.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The answer to an accepted request, kept for its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotentResponse {
    /// Whose key.
    pub user: UserId,
    /// The key as the caller gave it.
    pub key: String,
    /// What tells whether a later request is the same.
    pub fingerprint: String,
    /// The HTTP status.
    pub status: u16,
    /// `Location`, if there was one.
    pub location: Option<String>,
    /// The body, byte for byte. May hold a generated secret.
    pub body: Secret<String>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When the key may be used afresh.
    pub expires_at: Timestamp,
}

/// A user's use of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Sessions that hold a slot.
    pub active: u32,
    /// Sessions that wait for one.
    pub waiting: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// Where the next part begins; none at the end.
    pub next: Option<String>,
}

/// A record whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    Session(SessionId),
    Job { job: JobId, session: SessionId },
    Delivery(DeliveryId),
    Warm(WarmId),
}

/// Keeps the records. Reads see every commit that was answered before.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes all or nothing. When it returns, the writes survive a crash.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError>;

    /// A session by its id.
    async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, BackendError>;
    /// A user's sessions, newest first. `cursor` as a page before gave it.
    async fn sessions(
        &self,
        user: &UserId,
        status: Option<session::Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Session>, BackendError>;
    /// A user's sessions that wait for a slot, oldest first.
    async fn waiting(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError>;
    /// A session's timeline after entry number `after`, in order.
    async fn timeline(
        &self,
        session: SessionId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Entry>, BackendError>;

    /// A job by its id.
    async fn job(&self, id: JobId) -> Result<Option<Versioned<Job>>, BackendError>;
    /// A session's jobs of all types, oldest first.
    async fn jobs(
        &self,
        session: SessionId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Job>, BackendError>;
    /// A session's execute jobs of this kind that are not final, in order of arrival, at most
    /// `limit`.
    async fn open_jobs(
        &self,
        session: SessionId,
        concurrency: Concurrency,
        limit: u32,
    ) -> Result<Vec<Versioned<Job>>, BackendError>;
    /// Stored output from `offset` on, at most `limit` bytes.
    async fn output(
        &self,
        job: JobId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Secret<Vec<u8>>, BackendError>;

    /// The answer kept for a key, if it has not expired at `now`.
    async fn answer(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentResponse>, BackendError>;
    /// A user's use of the quota.
    async fn quota(&self, user: &UserId) -> Result<Quota, BackendError>;

    /// A delivery by its id.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Versioned<Delivery>>, BackendError>;
    /// A user's deliveries, newest first; those of one session if given.
    async fn deliveries(
        &self,
        user: &UserId,
        session: Option<SessionId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, BackendError>;

    /// A warm task by its id.
    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError>;
    /// The warm tasks of a kind that are not final, oldest first.
    async fn warm_of(&self, kind: &warm::Kind) -> Result<Vec<Versioned<Warm>>, BackendError>;

    /// Records whose `due_at` is not after `now`, the longest overdue first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError>;
    /// Removes final records that ended before `before`; says how many.
    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError>;
}
