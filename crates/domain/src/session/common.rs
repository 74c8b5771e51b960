//! The part of a session's record that every state has, and how each transition is recorded in it.

use serde::{Deserialize, Serialize};

use super::{Reason, Spec, Status};
use crate::{
    EventId, JobId, Secret, SessionId, Timestamp, UserId,
    timeline::{Entry, EventKind, Stamp},
};

/// The part of the record that every state has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// The session's id.
    pub id: SessionId,
    /// The session's owner.
    pub user: UserId,
    /// What the start request asked for.
    pub spec: Spec,
    /// The start job, which completes when the session is ready.
    pub start_job: JobId,
    /// The stop jobs, which complete when the session has ended.
    pub stop_jobs: Vec<JobId>,
    /// When the start request was accepted.
    pub created_at: Timestamp,
    /// When the session ends at the latest. Moved when it gets its slot, becomes ready or is extended.
    pub expires_at: Timestamp,
    /// Set while the session drains: it ends as soon as its open jobs are done.
    pub drain: Option<Drain>,
    /// How many attempts to get a task were begun.
    pub attempt: u32,
    /// When the session got its task, if it ever had one.
    pub task_at: Option<Timestamp>,
    /// How many timeline entries the session has.
    pub entries: u32,
    /// When the latest timeline entry was made.
    pub last_entry_at: Timestamp,
    /// When the session was last busy; the idle timeout counts from here.
    pub last_active_at: Timestamp,
    /// The deadline that the owner was warned of, to warn once of each.
    pub warned_of: Option<Timestamp>,
    /// Until when the session's files may be written by a worker that has claimed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_claimed_until: Option<Timestamp>,
}

/// The decision that a session takes no new jobs and ends once its open jobs are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// When the decision was made.
    pub at: Timestamp,
    /// Why the session will end.
    pub reason: Reason,
    /// The owner's message.
    pub note: Option<String>,
}

/// What the timeline entry of a transition says, besides the actor and the time.
pub(super) struct Change {
    kind: EventKind,
    from: Option<Status>,
    to: Status,
    cause: Option<String>,
}

impl Change {
    /// A change from one status to another.
    pub(super) const fn of(kind: EventKind, from: Status, to: Status) -> Self {
        Self { kind, from: Some(from), to, cause: None }
    }

    /// A change that leaves the status as it is.
    pub(super) const fn within(kind: EventKind, status: Status) -> Self {
        Self::of(kind, status, status)
    }

    /// The same change with a reason or a provider's message, where there is one.
    pub(super) fn because(self, cause: impl Into<Option<String>>) -> Self {
        Self { cause: cause.into(), ..self }
    }
}

impl Common {
    /// The record of a session that is accepted now, and its first timeline entry.
    pub(super) fn accept(
        id: SessionId,
        user: UserId,
        start_job: JobId,
        spec: Spec,
        stamp: Stamp,
    ) -> (Self, Entry) {
        let now = stamp.now;
        let mut common = Self {
            id,
            user,
            expires_at: now + spec.ttl,
            spec,
            start_job,
            stop_jobs: Vec::new(),
            created_at: now,
            drain: None,
            attempt: 0,
            task_at: None,
            entries: 0,
            last_entry_at: now,
            last_active_at: now,
            warned_of: None,
            files_claimed_until: None,
        };
        let kind = EventKind::Accepted;
        let change = Change { kind, from: None, to: Status::Queued, cause: None };
        let entry = common.enter(change, stamp);
        (common, entry)
    }

    /// Records that the session enters a status, or stays in it: gives the timeline entry that must be
    /// written with the session.
    pub(super) fn enter(&mut self, change: Change, stamp: Stamp) -> Entry {
        let Change { kind, from, to, cause } = change;
        let is_new = matches!(to, Status::Queued | Status::Provisioning | Status::Starting);
        if !is_new {
            // Either they were written, or they never will be.
            self.spec.files = Secret::default();
            self.files_claimed_until = None;
        }
        self.entries += 1;
        let latency = stamp.now.since(self.last_entry_at);
        self.last_entry_at = self.last_entry_at.max(stamp.now);
        Entry {
            id: EventId::of(self.id, self.entries, stamp.now),
            session: self.id,
            seq: self.entries,
            at: stamp.now,
            kind,
            from,
            to,
            actor: stamp.actor,
            attempt: self.attempt,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            cause,
        }
    }
}
