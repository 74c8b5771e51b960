//! The error of a handler.

use std::fmt;

use domain::ports::{BackendError, BoxError, CommitError, RunError, ShellError, StopError};

/// What a caller branches on. The state machine uses the names in `ErrorEquals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The provider has no capacity for another task now. Retry later.
    CapacityUnavailable,
    /// The session is to end, so the call has no purpose any more.
    StopRequested,
    /// A rate limit was hit. Retry later.
    Throttled,
    /// The record was modified concurrently. Retry.
    Conflict,
    /// The input is not what this handler takes. A retry does not help.
    BadInput,
    /// A backend behind a port failed. Retry later.
    Backend,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 6] = [
        Self::CapacityUnavailable,
        Self::StopRequested,
        Self::Throttled,
        Self::Conflict,
        Self::BadInput,
        Self::Backend,
    ];

    /// The name in the state machine.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CapacityUnavailable => "CapacityUnavailable",
            Self::StopRequested => "StopRequested",
            Self::Throttled => "Throttled",
            Self::Conflict => "Conflict",
            Self::BadInput => "BadInput",
            Self::Backend => "Backend",
        }
    }
}

/// The error of a handler: a code for programs, a message for people, and a source for the log.
#[derive(Debug)]
pub struct HandlerError {
    code: Code,
    message: String,
    source: Option<BoxError>,
}

impl HandlerError {
    /// An error without a source.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// An error with the error that caused it.
    pub fn from_source(
        code: Code,
        message: impl Into<String>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self { code, message: message.into(), source: Some(source.into()) }
    }

    /// The code to branch on.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Logs that this handler failed.
    pub(crate) fn log(&self, handler: &str) {
        let (code, error) = (self.code.name(), self as &dyn std::error::Error);
        match self.code {
            // Answers that the callers expect and act on.
            Code::StopRequested | Code::CapacityUnavailable | Code::Throttled | Code::Conflict => {
                tracing::info!(handler, code, error, "{handler} answered {code}");
            }
            Code::BadInput | Code::Backend => {
                tracing::warn!(handler, code, error, "{handler} failed: {code}");
            }
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HandlerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<BackendError> for HandlerError {
    fn from(error: BackendError) -> Self {
        Self::from_source(Code::Backend, "a backend failed", error)
    }
}

impl From<CommitError> for HandlerError {
    fn from(error: CommitError) -> Self {
        let code = match error {
            CommitError::Conflict => Code::Conflict,
            CommitError::QuotaReached
            | CommitError::RateLimited(_)
            | CommitError::NoCapacity
            | CommitError::AlreadyAnswered
            | CommitError::Closed
            | CommitError::StorageExceeded
            | CommitError::DiskFull
            | CommitError::QueueFull
            | CommitError::TooManyRunning
            | CommitError::Backend(_) => Code::Backend,
        };
        Self::from_source(code, "failed to write to the store", error)
    }
}

impl From<RunError> for HandlerError {
    fn from(error: RunError) -> Self {
        let code = match error {
            RunError::Capacity(_) => Code::CapacityUnavailable,
            RunError::Throttled => Code::Throttled,
            RunError::Refused(_) => Code::StopRequested,
            RunError::Backend(_) => Code::Backend,
        };
        Self::from_source(code, "failed to run a task", error)
    }
}

impl From<StopError> for HandlerError {
    fn from(error: StopError) -> Self {
        let code = match error {
            StopError::Throttled => Code::Throttled,
            StopError::Unknown | StopError::Backend(_) => Code::Backend,
        };
        Self::from_source(code, "failed to stop the task", error)
    }
}

impl From<ShellError> for HandlerError {
    fn from(error: ShellError) -> Self {
        Self::from_source(Code::Backend, "failed to reach the shell", error)
    }
}
