//! What a session knows in every state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Drain, Spec, Status, Waiter};
use crate::{
    EventId, JobId, SessionId, Timestamp, UserId,
    timeline::{Entry, EventKind, Stamp},
};

/// How long after a change somebody looks whether it was noticed.
pub(super) const RECHECK_AFTER: Duration = Duration::from_secs(15);

/// The part of the record that every state has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// Its id.
    pub id: SessionId,
    /// Its owner.
    pub user: UserId,
    /// What was asked for.
    pub spec: Spec,
    /// The job that its start is.
    pub start_job: JobId,
    /// The jobs that wait for its end.
    pub stop_jobs: Vec<JobId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ends at the latest. Transition on when it becomes ready and when it is extended.
    pub expires_at: Timestamp,
    /// Set when it ends as soon as its jobs are done.
    pub drain: Option<Drain>,
    /// The attempts to get a task so far.
    pub attempt: u32,
    /// Since when it has a task, if it ever had one.
    pub task_at: Option<Timestamp>,
    /// How many timeline entries there are.
    pub entries: u32,
    /// When the last of them was made.
    pub last_entry_at: Timestamp,
    /// When it last had something to do; counts for the idle timeout.
    pub last_active_at: Timestamp,
    /// The deadline that its owner was warned of.
    pub warned_of: Option<Timestamp>,
}

/// What a session knows while it is not over: who waits, and when to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wakeup {
    pub(super) due_at: Timestamp,
    pub(super) waiter: Option<Waiter>,
}

impl Wakeup {
    /// Somebody just changed the record: look soon whether the change was noticed.
    pub(super) fn touched(mut self, stamp: Stamp) -> Self {
        self.due_at = stamp.now + RECHECK_AFTER;
        self
    }
}

impl Common {
    /// Writes the next timeline entry.
    pub(super) fn record(
        &mut self,
        stamp: Stamp,
        kind: EventKind,
        from: Option<Status>,
        to: Status,
        cause: Option<String>,
    ) -> Entry {
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
