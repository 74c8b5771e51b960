//! The record of what happened to a session, in order and without gaps.

use serde::{Deserialize, Serialize};

use crate::{EventId, SessionId, Timestamp, session::Status};

/// One transition of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Unique; the same however often the write is retried.
    pub id: EventId,
    /// Whose transition it is.
    pub session: SessionId,
    /// 1, 2, 3, …
    pub seq: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "what")]
    pub kind: EventKind,
    /// The status before; none for the first entry.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// Who did it.
    pub actor: Actor,
    /// Which attempt to get a task this belongs to; 0 before the first.
    pub attempt: u32,
    /// Milliseconds since the entry before.
    pub latency_ms: u64,
    /// More words, where there are any: a reason, a provider's message.
    pub cause: Option<String>,
}

/// What happened to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum EventKind {
    Accepted,
    Admitted,
    Provisioning,
    PlacementRefused,
    TaskPlaced,
    WarmTaskClaimed,
    TaskRunning,
    Ready,
    Extended,
    Draining,
    Expiring,
    StopRequested,
    TaskFound,
    StopSent,
    TaskStopped,
    Stopped,
    Failed,
}

/// Who makes a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Actor {
    /// The session's owner, by the API.
    User,
    /// The session's execution.
    Workflow,
    /// A task's event.
    TaskEvent,
    /// A worker that ran the session's jobs.
    Worker,
    /// The scheduled sweep.
    Sweep,
}

/// Who does it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Who.
    pub actor: Actor,
    /// When.
    pub now: Timestamp,
}

impl Stamp {
    /// This actor at this time.
    pub const fn new(actor: Actor, now: Timestamp) -> Self {
        Self { actor, now }
    }
}
