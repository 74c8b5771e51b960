//! How a job ended.

use serde::{Deserialize, Serialize};

use super::Status;

/// How a command's process ended, as the runner saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Why the platform could not run a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Failure {
    /// A word for programs, such as `command_not_found`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// How a job came out. `Completed` with an exit is said only if the runner said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It ran, whatever its exit code; start and stop jobs have none.
    Completed { exit: Option<Exit>, failure: Option<Failure> },
    /// The platform could not run it.
    Failed { failure: Failure },
    /// It ran into its deadline.
    TimedOut { exit: Option<Exit> },
    /// Somebody cancelled it, or its session ended before its turn.
    Cancelled { exit: Option<Exit>, failure: Option<Failure> },
    /// What became of it can't be known.
    Lost { failure: Failure },
}

impl Outcome {
    /// The status that the API shows.
    pub const fn status(&self) -> Status {
        match self {
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::TimedOut { .. } => Status::TimedOut,
            Self::Cancelled { .. } => Status::Cancelled,
            Self::Lost { .. } => Status::Lost,
        }
    }

    /// How the process ended, if the runner saw it.
    pub const fn exit(&self) -> Option<Exit> {
        match self {
            Self::Completed { exit, .. }
            | Self::TimedOut { exit }
            | Self::Cancelled { exit, .. } => *exit,
            Self::Failed { .. } | Self::Lost { .. } => None,
        }
    }

    /// What went wrong, if there is something to say.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Completed { failure, .. } | Self::Cancelled { failure, .. } => failure.as_ref(),
            Self::Failed { failure } | Self::Lost { failure } => Some(failure),
            Self::TimedOut { .. } => None,
        }
    }
}

/// What there is of one output stream. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamStats {
    /// Stored, from the beginning on.
    pub stored: u64,
    /// Written by the command in all, as far as is known.
    pub written: u64,
}

impl StreamStats {
    /// No output.
    pub const NOTHING: Self = Self { stored: 0, written: 0 };

    /// This many more bytes were stored.
    pub const fn plus(self, bytes: u64) -> Self {
        let stored = self.stored + bytes;
        let written = if self.written > stored { self.written } else { stored };
        Self { stored, written }
    }

    /// Whether the command wrote more than is kept.
    pub const fn truncated(self) -> bool {
        self.written > self.stored
    }
}

/// What a command used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Usage {
    /// Time from its start to its end.
    pub wall_ms: u64,
    /// Time on a core, user and system.
    pub cpu_ms: u64,
    /// Largest resident set.
    pub max_rss_bytes: u64,
}
