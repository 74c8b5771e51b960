//! Events of an execution, for a driver that records the history.

use crate::{Failure, Millis};
use serde_json::Value;
use std::fmt;

/// One event in an execution's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The time at which the interpreter processed the event.
    pub at: Millis,
    /// The name of the state in which the event occurred.
    pub state: String,
    /// The kind of the event, with its data.
    pub kind: EventKind,
}

/// The kind of an event, named as in AWS's execution history. An event holds user data and task
/// tokens, so `Debug` shows only the name.
#[derive(Clone, PartialEq)]
pub enum EventKind {
    /// The execution entered the state; `input` is the raw input.
    StateEntered { input: Value },
    /// An attempt of a task began; `input` is what the resource receives.
    TaskScheduled { resource: String, input: Value },
    /// The task succeeded with this result.
    TaskSucceeded { output: Value },
    /// The task reported an error.
    TaskFailed(Failure),
    /// The task exceeded `TimeoutSeconds` or `HeartbeatSeconds`.
    TaskTimedOut(Failure),
    /// The interpreter failed the state: an invalid path, a size limit, no matching choice.
    StateFailed(Failure),
    /// A retrier matched; the next attempt starts at `until`.
    RetryScheduled { until: Millis },
    /// The execution left the state with this output, either normally or through a catcher.
    StateExited { output: Value },
}

impl EventKind {
    /// The name of the variant.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StateEntered { .. } => "StateEntered",
            Self::TaskScheduled { .. } => "TaskScheduled",
            Self::TaskSucceeded { .. } => "TaskSucceeded",
            Self::TaskFailed(_) => "TaskFailed",
            Self::TaskTimedOut(_) => "TaskTimedOut",
            Self::StateFailed(_) => "StateFailed",
            Self::RetryScheduled { .. } => "RetryScheduled",
            Self::StateExited { .. } => "StateExited",
        }
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
