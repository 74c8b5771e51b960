//! The store of records. All writes go through [`Store::commit`]: conditional, and all or none.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{BackendError, Stream};
use crate::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::{Command, Concurrency},
    job::Job,
    rate::Rate,
    session::{self, Session},
    size::Size,
    timeline::Entry,
    user_event::{EventNumber, UserEvent},
    warm::{self, Warm},
    webhook::Delivery,
};

/// How often a record was written; 1 after the first write.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A record with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// The version to expect in the next write.
    pub version: Version,
}

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The record does not exist.
    New,
    /// The record has this version.
    At(Version),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A session's record, with the version it must have.
    Session(Box<Session>, Expect),
    /// A job's record, with the version it must have.
    Job(Box<Job>, Expect),
    /// A timeline entry, which must not exist yet.
    Entry(Box<Entry>),
    /// An event of a user, which gets the number after that of the user's last one. The events of one
    /// transaction are of one user.
    UserEvent(Box<UserEvent>),
    /// Output, at its position among the stored bytes of the stream: it must begin where they end.
    Output { job: JobId, stream: Stream, offset: u64, bytes: Secret<Vec<u8>> },
    /// A delivery, with the version it must have.
    Delivery(Box<Delivery>, Expect),
    /// A warm task, with the version it must have.
    Warm(Box<Warm>, Expect),
    /// The response to a request with an idempotency key; fails with `AlreadyAnswered` while another
    /// response for that key has not expired.
    IdempotentResponse(Box<IdempotentResponse>),
    /// One more session of this user holds a slot; fails with `QuotaReached` at the limit.
    TakeSlot { user: UserId, limit: u32 },
    /// This user starts a session, at this time; fails with `RateLimited` if the user's bucket is empty.
    CountStart { user: UserId, at: Timestamp, rate: Rate },
    /// One session less of this user holds a slot: this one, which ends.
    FreeSlot { user: UserId, session: SessionId },
    /// The deployment has room for this session, which takes a slot, beside all others that do not wait and are not over.
    /// Fails with `NoCapacity` if the deployment has its maximum of sessions, or if the shared host lacks room for this
    /// size.
    RequireCapacity { session: SessionId, size: Size },
    /// This serial job takes its session's turn; fails with `Conflict` while another job has it.
    TakeTurn { session: SessionId, job: JobId },
    /// This serial job gives up its session's turn. No effect if it does not have the turn.
    EndTurn { session: SessionId, job: JobId },
    /// Requires that the session takes new jobs; fails with `Closed` otherwise.
    RequireOpen(SessionId),
    /// Requires room for this many more bytes; fails with `StorageExceeded` if the user or the session
    /// would store more than the limit, and with `DiskFull` if little is left for everybody.
    RequireStorage { user: UserId, session: SessionId, bytes: u64, limits: StorageLimits },
    /// Requires that the session's unfinished commands leave room for one more, of this many bytes;
    /// fails with `QueueFull` otherwise.
    RequireQueueRoom { session: SessionId, bytes: u64, limits: QueueLimits },
    /// Requires that the user and the session run fewer commands than the limit; fails with
    /// `TooManyRunning` otherwise.
    RequireRunRoom { user: UserId, session: SessionId, limits: RunLimits },
}

/// How much may be stored. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Of all sessions of a user that are on record.
    pub user: u64,
    /// Of one session.
    pub session: u64,
}

/// How many commands of one session may be unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Their number.
    pub jobs: u32,
    /// Their size, with their input. Bytes.
    pub bytes: u64,
}

/// How many commands may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Of all sessions of a user.
    pub user: u32,
    /// Of one session.
    pub session: u32,
}

/// Why a transaction failed. Nothing of it was written, except perhaps after `Backend`.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record was changed since it was read: read it again and decide again.
    #[error("a record changed meanwhile")]
    Conflict,
    /// The user's sessions hold all slots of the quota.
    #[error("the quota is reached")]
    QuotaReached,
    /// The user has started sessions faster than the rate allows, and may start one after this time.
    #[error("the user starts sessions too fast")]
    RateLimited(Duration),
    /// The sessions use all that the host may give them, or are as many as the deployment may have.
    #[error("the deployment has no room for the session")]
    NoCapacity,
    /// A response for this idempotency key exists.
    #[error("the request was accepted before")]
    AlreadyAnswered,
    /// The session takes no new jobs.
    #[error("the session takes no more jobs")]
    Closed,
    /// The user or the session stores as much as the limit allows.
    #[error("the limit on stored data is reached")]
    StorageExceeded,
    /// Little room is left on the disk. What ends a session or a job is still written.
    #[error("the disk is almost full")]
    DiskFull,
    /// The session has as many unfinished commands as the limit allows.
    #[error("the session's queue is full")]
    QueueFull,
    /// The user or the session runs as many commands as the limit allows.
    #[error("too many commands run")]
    TooManyRunning,
    /// Whether the writes were done is not known.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The response to an accepted request, stored for its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotentResponse {
    /// The user whose key it is.
    pub user: UserId,
    /// The value of `Idempotency-Key`.
    pub key: String,
    /// A digest of the request, to recognise another request with the same key.
    pub fingerprint: String,
    /// The HTTP status.
    pub status: u16,
    /// The header `Location`, if there was one.
    pub location: Option<String>,
    /// The body, byte for byte. It may hold a generated secret.
    pub body: Secret<String>,
    /// When the request was accepted.
    pub created_at: Timestamp,
    /// From when on the key may be used for another request.
    pub expires_at: Timestamp,
}

/// How much of the quota a user takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// How many sessions hold a slot.
    pub active: u32,
    /// How many sessions wait for a slot.
    pub waiting: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last one.
    pub next: Option<String>,
}

/// A record that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    Session(SessionId),
    Job { job: JobId, session: SessionId },
    Delivery(DeliveryId),
    Warm(WarmId),
}

/// Stores the records. A read sees every commit that returned before it.
///
/// A job is returned with the outline of its command if the command is large (see
/// [`Command::is_outline`]); it may be written back so, except by its first write. Lists return sessions
/// without their environment variables. What is secret may be dropped with the end: the commands of
/// finished jobs and the variables of ended sessions.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes all or nothing. Once it has returned, the writes survive a crash.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError>;

    /// A session by its id.
    async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, BackendError>;
    /// A user's sessions, newest first, from the `cursor` of an earlier page on.
    async fn sessions(
        &self,
        user: &UserId,
        status: Option<session::Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Session>, BackendError>;
    /// A user's sessions that wait for a slot, oldest first.
    async fn waiting(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError>;
    /// The waiting sessions that may be admitted when a session of this user has ended, oldest first: those
    /// of the user. Where tasks share one host, also those of all other users, which may wait for the room of this one;
    /// elsewhere the sweep tries to admit those, and new starts may be faster.
    async fn admissible(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError> {
        self.waiting(user).await
    }
    /// A session's timeline after entry number `after`, in order.
    async fn timeline(
        &self,
        session: SessionId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Entry>, BackendError>;

    /// A job by its id.
    async fn job(&self, id: JobId) -> Result<Option<Versioned<Job>>, BackendError>;
    /// The whole command of an execute job; none if it is not stored, or not any more.
    async fn command(&self, job: JobId) -> Result<Option<Command>, BackendError>;
    /// A session's jobs of all types, oldest first.
    async fn jobs(
        &self,
        session: SessionId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Job>, BackendError>;
    /// The first `limit` of a session's execute jobs with this concurrency that are not finished, in
    /// order of arrival.
    async fn open_jobs(
        &self,
        session: SessionId,
        concurrency: Concurrency,
        limit: u32,
    ) -> Result<Vec<Versioned<Job>>, BackendError>;
    /// A session, and whether it has an execute job that is not finished: one read where the store can do both.
    async fn session_with_open_jobs(
        &self,
        id: SessionId,
    ) -> Result<Option<(Versioned<Session>, bool)>, BackendError> {
        let Some(session) = self.session(id).await? else { return Ok(None) };
        Ok(Some((session, self.has_open_jobs(id).await?)))
    }
    /// Whether the session has an execute job that is not finished.
    async fn has_open_jobs(&self, session: SessionId) -> Result<bool, BackendError> {
        for concurrency in Concurrency::ALL {
            if !self.open_jobs(session, concurrency, 1).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
    /// Stored output from this position among the stored bytes on, at most `limit` bytes.
    async fn output(
        &self,
        job: JobId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Secret<Vec<u8>>, BackendError>;

    /// The response stored for a key, if it has not expired at `now`.
    async fn answer(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentResponse>, BackendError>;
    /// How much of the quota a user takes.
    async fn quota(&self, user: &UserId) -> Result<Quota, BackendError>;

    /// A delivery by its id.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Versioned<Delivery>>, BackendError>;
    /// A user's deliveries, or those of one session, newest first.
    async fn deliveries(
        &self,
        user: &UserId,
        session: Option<SessionId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, BackendError>;

    /// The first `limit` of a user's events after this number, in order. No event with a lower number is
    /// committed later.
    async fn user_events(
        &self,
        user: &UserId,
        after: EventNumber,
        limit: u32,
    ) -> Result<Vec<(EventNumber, UserEvent)>, BackendError>;
    /// The number of a user's last event; 0 if there is none.
    async fn last_event(&self, user: &UserId) -> Result<EventNumber, BackendError>;

    /// A warm task by its id.
    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError>;
    /// The warm tasks of a kind that are not final, oldest first.
    async fn warm_of(&self, kind: &warm::Kind) -> Result<Vec<Versioned<Warm>>, BackendError>;

    /// Records whose `due_at` is not after `now`, the longest overdue first. Jobs only if the store
    /// [lists them](Self::lists_due_jobs).
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError>;
    /// Whether [`Self::due`] lists jobs. Where it does not, because each entry of an index is billed, the sweep looks for
    /// jobs that may run in the sessions whose tasks run.
    fn lists_due_jobs(&self) -> bool {
        true
    }
    /// Removes final records that ended before `before`, and events of users from before then; returns how
    /// many. The store may leave events to an expiry of its own.
    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError>;
}
