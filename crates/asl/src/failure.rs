//! Error names of the language, and the failure that a task or a state reports.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

pub(crate) const ALL: &str = "States.ALL";
pub(crate) const TASK_FAILED: &str = "States.TaskFailed";
pub(crate) const TIMEOUT: &str = "States.Timeout";
pub(crate) const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
pub(crate) const RUNTIME: &str = "States.Runtime";
pub(crate) const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
pub(crate) const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
pub(crate) const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
pub(crate) const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";

/// The reserved names that a retrier or a catcher may list. Some belong to state types that this
/// interpreter does not support; they are accepted and never match.
pub(crate) const RESERVED: &[&str] = &[
    ALL,
    TASK_FAILED,
    TIMEOUT,
    HEARTBEAT_TIMEOUT,
    RUNTIME,
    DATA_LIMIT_EXCEEDED,
    RESULT_PATH_MATCH_FAILURE,
    NO_CHOICE_MATCHED,
    INTRINSIC_FAILURE,
    "States.BranchFailed",
    "States.ExceedToleratedFailureThreshold",
    "States.Http.Socket",
    "States.ItemReaderFailed",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultWriterFailed",
];

/// The failure of a task or a state (the "Error Output" of the specification). The cause is user
/// data, so `Debug` shows the error name only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error name that retriers and catchers match. `None` if the task failed without one, or a
    /// Fail state has none; a catcher inserts `null` then.
    pub error: Option<String>,
    /// A human-readable description, if there is one.
    pub cause: Option<String>,
}

/// The origin of a failure, which decides whether reserved error names match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The task reported the failure or timed out, or its result exceeded a limit.
    Task,
    /// The interpreter failed the state.
    State,
}

impl Failure {
    /// Returns a failure with this error name and cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()) }
    }

    /// The error name; empty if there is none.
    pub fn error_name(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// The failure of an execution itself, outside of its states.
    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::new(RUNTIME, cause)
    }

    /// The failure as reported to users. AWS reports a missed heartbeat as `States.Timeout`; only
    /// retriers and catchers distinguish the two (histories recorded in the LocalStack tests).
    pub(crate) fn reported(mut self) -> Self {
        if self.error_name() == HEARTBEAT_TIMEOUT {
            self.error = Some(TIMEOUT.to_owned());
        }
        self
    }

    /// The Error Output, which a catcher inserts into the state's input.
    pub(crate) fn output(self) -> Value {
        let Self { error, cause } = self.reported();
        json!({ "Error": error, "Cause": cause })
    }

    /// Whether a name in an `ErrorEquals` list matches this failure (Developer Guide, "Handling
    /// errors in Step Functions workflows"). In contrast to the guide, `States.ALL` matches the
    /// result of a task that exceeds a limit (histories recorded in the LocalStack tests).
    pub(crate) fn matches(&self, name: &str, origin: Origin) -> bool {
        let error = self.error_name();
        let terminal =
            error == RUNTIME || (error == DATA_LIMIT_EXCEEDED && origin == Origin::State);
        let timeout = matches!(error, TIMEOUT | HEARTBEAT_TIMEOUT);
        match name {
            ALL => !terminal,
            TASK_FAILED => !terminal && !timeout,
            TIMEOUT => timeout,
            _ => self.error.as_deref() == Some(name) && error != RUNTIME,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("error", &self.error_name()).finish_non_exhaustive()
    }
}
