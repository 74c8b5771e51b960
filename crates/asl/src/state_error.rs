//! The error of a state that the interpreter itself fails.

use crate::failure::{DATA_LIMIT_EXCEEDED, Failure, RUNTIME};
use crate::limits::{LimitError, MAX_DEPTH};

/// The maximum length of a cause in characters (`SendTaskFailure` in the Step Functions API
/// reference).
const MAX_CAUSE: usize = 32_768;

/// Why the interpreter fails a state. Causes are worded as in recorded histories of AWS.
#[derive(Debug)]
pub(crate) enum StateError {
    /// The state's data exceeds a limit.
    Limit(LimitError),
    /// The state can't be executed with its data.
    Failed { error: &'static str, cause: String },
}

impl StateError {
    pub(crate) fn new(error: &'static str, cause: impl Into<String>) -> Self {
        Self::Failed { error, cause: cause.into() }
    }

    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::new(RUNTIME, cause)
    }

    /// The failure to report for the state `name`, which was entered with the event `entered_event`.
    pub(crate) fn into_failure(self, name: &str, entered_event: u32) -> Failure {
        match self {
            Self::Limit(limit) => limit_exceeded(name, limit),
            Self::Failed { error, cause } => {
                let cause = format!(
                    "An error occurred while executing the state '{name}' (entered at the event id \
                     #{entered_event}). {cause}"
                );
                Failure::new(error, shortened(cause))
            }
        }
    }
}

impl From<LimitError> for StateError {
    fn from(limit: LimitError) -> Self {
        Self::Limit(limit)
    }
}

/// The failure of a state or task `name` whose data exceeds a limit.
pub(crate) fn limit_exceeded(name: &str, limit: LimitError) -> Failure {
    let excess = match limit {
        LimitError::Bytes => {
            "a size exceeding the maximum number of bytes service limit".to_owned()
        }
        LimitError::Depth => format!("a nesting depth exceeding the limit of {MAX_DEPTH} levels"),
    };
    let cause = format!("The state/task '{name}' returned a result with {excess}.");
    Failure::new(DATA_LIMIT_EXCEEDED, cause)
}

fn shortened(mut cause: String) -> String {
    if let Some((end, _)) = cause.char_indices().nth(MAX_CAUSE) {
        cause.truncate(end);
    }
    cause
}
