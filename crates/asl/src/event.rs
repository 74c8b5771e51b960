//! What happened in an execution, for whoever keeps its history.

use crate::{Failure, Millis};
use serde_json::Value;
use std::fmt;

/// One entry of an execution's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When the interpreter noticed it.
    pub at: Millis,
    /// The state it happened in.
    pub state: String,
    /// What happened.
    pub what: What,
}

/// What happened in a state. Holds user data and task tokens, so `Debug` shows only the name.
#[derive(Clone, PartialEq)]
pub enum What {
    /// The state began, with its raw input.
    StateEntered { input: Value },
    /// An attempt of a task began: this is what the resource gets.
    TaskScheduled { resource: String, input: Value },
    /// The task's result arrived.
    TaskSucceeded { output: Value },
    /// The task reported an error.
    TaskFailed(Failure),
    /// The task did not answer, or did not send a heartbeat, in time.
    TaskTimedOut(Failure),
    /// The state itself failed: a path, a size limit, no choice.
    StateFailed(Failure),
    /// A retrier matched; the next attempt starts then.
    RetryScheduled { until: Millis },
    /// The state ended with this output, by itself or through a catcher.
    StateExited { output: Value },
}

impl What {
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

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
