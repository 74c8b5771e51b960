//! The writes of a transaction: encoded by the caller, applied by the writer thread.

use domain::{
    JobId, SessionId, Timestamp, UserId,
    ports::{
        BackendError, CommitError, Expect, QueueLimits, RunLimits, StorageLimits, Version, Write,
    },
    rate::Rate,
    size::Size,
};
use rusqlite::Connection;

use super::{
    answers,
    capacity::{self, Capacity},
    commands, deliveries, jobs, output,
    record::Row,
    sessions, slots, timeline, turns, usage, user_events, warm,
};
use crate::database::Disk;

/// A write with its record encoded.
pub(super) enum Prepared {
    Session(sessions::Row, Expect),
    Job(jobs::Row, Expect),
    Entry(timeline::Row),
    UserEvent(user_events::Row),
    Output(output::Row),
    Delivery(deliveries::Row, Expect),
    Warm(warm::Row, Expect),
    IdempotentResponse(answers::Row),
    TakeSlot(UserId, u32),
    CountStart(UserId, Timestamp, Rate),
    FreeSlot(UserId),
    RequireCapacity(SessionId, Size, Option<Capacity>),
    TakeTurn(SessionId, JobId),
    EndTurn(SessionId, JobId),
    RequireOpen(SessionId),
    RequireStorage { user: UserId, session: SessionId, bytes: u64, limits: StorageLimits },
    RequireQueueRoom { session: SessionId, bytes: u64, limits: QueueLimits },
    RequireRunRoom { user: UserId, session: SessionId, limits: RunLimits },
}

impl Prepared {
    /// `capacity` is what sessions may use together.
    pub(super) fn new(write: Write, capacity: Option<Capacity>) -> Result<Self, BackendError> {
        Ok(match write {
            Write::Session(record, expect) => Self::Session(sessions::Row::new(&record)?, expect),
            Write::Job(record, expect) => Self::Job(jobs::Row::new(&record)?, expect),
            Write::Entry(record) => Self::Entry(timeline::Row::new(&record)?),
            Write::UserEvent(record) => Self::UserEvent(user_events::Row::new(&record)?),
            Write::Output { job, stream, offset, bytes } => {
                Self::Output(output::Row::new(job, stream, offset, bytes))
            }
            Write::Delivery(record, expect) => {
                Self::Delivery(deliveries::Row::new(&record)?, expect)
            }
            Write::Warm(record, expect) => Self::Warm(warm::Row::new(&record)?, expect),
            Write::IdempotentResponse(record) => {
                Self::IdempotentResponse(answers::Row::new(*record)?)
            }
            Write::TakeSlot { user, limit } => Self::TakeSlot(user, limit),
            Write::CountStart { user, at, rate } => Self::CountStart(user, at, rate),
            Write::FreeSlot { user, .. } => Self::FreeSlot(user),
            Write::RequireCapacity { session, size } => {
                Self::RequireCapacity(session, size, capacity)
            }
            Write::TakeTurn { session, job } => Self::TakeTurn(session, job),
            Write::EndTurn { session, job } => Self::EndTurn(session, job),
            Write::RequireOpen(session) => Self::RequireOpen(session),
            Write::RequireStorage { user, session, bytes, limits } => {
                Self::RequireStorage { user, session, bytes, limits }
            }
            Write::RequireQueueRoom { session, bytes, limits } => {
                Self::RequireQueueRoom { session, bytes, limits }
            }
            Write::RequireRunRoom { user, session, limits } => {
                Self::RequireRunRoom { user, session, limits }
            }
        })
    }

    /// Whether this is a condition on what all records together take.
    pub(super) const fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::RequireStorage { .. }
                | Self::RequireQueueRoom { .. }
                | Self::RequireRunRoom { .. }
        )
    }

    /// Does the write.
    ///
    /// # Errors
    /// If the condition of the write does not hold, or the database fails.
    pub(super) fn apply(&self, db: &Connection, disk: &Disk) -> Result<(), CommitError> {
        let done = match self {
            Self::Session(row, expect) => row.put(db, *expect),
            Self::Job(row, expect) => row.put(db, *expect),
            Self::Entry(row) => row.add(db),
            Self::UserEvent(row) => row.add(db),
            Self::Output(row) => row.append(db),
            Self::Delivery(row, expect) => row.put(db, *expect),
            Self::Warm(row, expect) => row.put(db, *expect),
            Self::IdempotentResponse(row) => row.put(db),
            Self::TakeSlot(user, limit) => slots::take(db, user, *limit),
            Self::CountStart(user, at, rate) => {
                return slots::count_start(db, user, *at, *rate);
            }
            Self::FreeSlot(user) => slots::free(db, user),
            Self::RequireCapacity(session, size, limit) => {
                capacity::has_room(db, *session, *size, *limit)
            }
            Self::TakeTurn(session, job) => turns::take(db, *session, *job),
            Self::EndTurn(session, job) => turns::end(db, *session, *job),
            Self::RequireOpen(session) => sessions::is_open(db, *session),
            Self::RequireStorage { .. } if disk.is_low() => return Err(CommitError::DiskFull),
            Self::RequireStorage { user, session, bytes, limits } => {
                usage::has_room(db, user, *session, *bytes, *limits)
            }
            Self::RequireQueueRoom { session, bytes, limits } => {
                commands::has_room(db, *session, *bytes, *limits)
            }
            Self::RequireRunRoom { user, session, limits } => {
                jobs::may_run_more(db, user, *session, *limits)
            }
        };
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.condition_error()),
            Err(error) => Err(BackendError::new("writing records", error).into()),
        }
    }

    /// The error if the condition of the write does not hold.
    const fn condition_error(&self) -> CommitError {
        match self {
            Self::IdempotentResponse(_) => CommitError::AlreadyAnswered,
            Self::TakeSlot(..) => CommitError::QuotaReached,
            Self::RequireCapacity(..) => CommitError::NoCapacity,
            Self::RequireOpen(_) => CommitError::Closed,
            Self::RequireStorage { .. } => CommitError::StorageExceeded,
            Self::RequireQueueRoom { .. } => CommitError::QueueFull,
            Self::RequireRunRoom { .. } => CommitError::TooManyRunning,
            Self::Session(..)
            | Self::Job(..)
            | Self::Entry(_)
            | Self::UserEvent(_)
            | Self::Output(_)
            | Self::Delivery(..)
            | Self::Warm(..)
            | Self::CountStart(..)
            | Self::FreeSlot(_)
            | Self::TakeTurn(..)
            | Self::EndTurn(..) => CommitError::Conflict,
        }
    }
}

/// The job that a write changes, and the version it will have.
pub(super) fn changed_job(write: &Write) -> Option<(JobId, Version)> {
    let Write::Job(job, expect) = write else { return None };
    let version = match expect {
        Expect::New => Version(1),
        Expect::At(Version(read)) => Version(read + 1),
    };
    Some((job.id(), version))
}

/// The owner of the events that a transaction adds.
pub(super) fn event_owner(writes: &[Write]) -> Option<UserId> {
    writes.iter().find_map(|write| {
        if let Write::UserEvent(event) = write { Some(event.user.clone()) } else { None }
    })
}
