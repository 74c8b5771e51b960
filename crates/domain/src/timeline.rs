//! The timeline of a session: its transitions, in order and without gaps.

use serde::{Deserialize, Serialize};

use crate::{EventId, SessionId, Timestamp, session::Status};

/// One transition of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Unique; a retried write has the same id.
    pub id: EventId,
    /// The session.
    pub session: SessionId,
    /// The number of the entry in its session, from 1.
    pub seq: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "what")]
    pub kind: EventKind,
    /// The status before the transition; none for the first entry.
    pub from: Option<Status>,
    /// The status after the transition.
    pub to: Status,
    /// What made the transition.
    pub actor: Actor,
    /// The attempt to get a task that was current; 0 before the first.
    pub attempt: u32,
    /// Milliseconds since the entry before this one; 0 for the first entry.
    pub latency_ms: u64,
    /// A reason or a provider's message, where there is one.
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
    TerminalOpened,
    TerminalAttached,
    TerminalDetached,
    TerminalClosed,
    Draining,
    Expiring,
    StopRequested,
    TaskFound,
    StopSent,
    TaskStopped,
    Stopped,
    Failed,
}

/// What makes a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Actor {
    /// The session's owner, over the API.
    User,
    /// The session's execution of the state machine.
    Workflow,
    /// An event of the session's task.
    TaskEvent,
    /// A worker that runs the session's jobs.
    Worker,
    /// The scheduled sweep.
    Sweep,
}

/// The actor and the time of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// What makes the transition.
    pub actor: Actor,
    /// When the transition is made.
    pub now: Timestamp,
}

impl Stamp {
    /// This actor at this time.
    pub const fn new(actor: Actor, now: Timestamp) -> Self {
        Self { actor, now }
    }
}
