//! The outcome of a job.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::Secret;

/// How a command's process ended, as the runner reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal terminated it (a number of signal(7)).
    Signal(i32),
}

/// What went wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Failure {
    /// A stable name for programs, for example `command_not_found`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Failure {
    /// A failure with this code and message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// How a job ended. An `exit` is there only if the runner reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The command ran to its end, with any exit code; start and stop jobs have no exit.
    Completed { exit: Option<Exit>, failure: Option<Failure> },
    /// The platform could not run the job.
    Failed { failure: Failure },
    /// The command reached its timeout.
    TimedOut { exit: Option<Exit> },
    /// The job was cancelled, or its session ended before the job's turn.
    Cancelled { exit: Option<Exit>, failure: Option<Failure> },
    /// The command was started, and how it ended can't be known.
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

    /// How the process ended, if the runner reported it.
    pub const fn exit(&self) -> Option<Exit> {
        match self {
            Self::Completed { exit, .. }
            | Self::TimedOut { exit }
            | Self::Cancelled { exit, .. } => *exit,
            Self::Failed { .. } | Self::Lost { .. } => None,
        }
    }

    /// What went wrong, if something did.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Completed { failure, .. } | Self::Cancelled { failure, .. } => failure.as_ref(),
            Self::Failed { failure } | Self::Lost { failure } => Some(failure),
            Self::TimedOut { .. } => None,
        }
    }
}

/// The sizes of one output stream, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamStats {
    /// How many bytes are stored: the stream from its start, without the gap.
    pub stored: u64,
    /// How many bytes the command has written, as far as is known.
    pub written: u64,
    /// The part of the stream that is not stored although bytes behind it are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

/// A part of an output stream, by offsets from the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Gap {
    /// The offset of its first byte.
    pub from: u64,
    /// The offset of the first byte behind it.
    pub to: u64,
}

impl StreamStats {
    /// No output.
    pub const NOTHING: Self = Self { stored: 0, written: 0, gap: None };

    /// The sizes after `bytes` more were stored.
    #[must_use]
    pub const fn plus(mut self, bytes: u64) -> Self {
        self.stored += bytes;
        let end = self.end();
        if self.written < end {
            self.written = end;
        }
        self
    }

    /// The offset in the stream behind the last stored byte.
    pub const fn end(self) -> u64 {
        match self.gap {
            Some(Gap { from, to }) => self.stored + (to - from),
            None => self.stored,
        }
    }

    /// The first stored byte at or behind this offset of the stream: its own offset, its position among
    /// the stored bytes, and how many stored bytes follow one another from there on, including it.
    pub const fn find(self, offset: u64) -> (u64, u64, u64) {
        match self.gap {
            Some(Gap { from, .. }) if offset < from => (offset, offset, from - offset),
            Some(Gap { from, to }) => {
                let offset = if offset > to { offset } else { to };
                let position = offset - (to - from);
                (offset, position, self.stored.saturating_sub(position))
            }
            None => (offset, offset, self.stored.saturating_sub(offset)),
        }
    }

    /// Whether the command wrote more than is stored.
    pub const fn truncated(self) -> bool {
        self.written > self.stored
    }
}

/// A process that a command with `background` has left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackgroundProcess {
    /// Its id inside the shell.
    pub pid: i32,
    /// The beginning of its command line.
    pub command: Secret<String>,
}

/// What became of the shell that a command shared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellUse {
    /// Whether it was started for this command: nothing of earlier commands was left.
    pub is_new: bool,
    /// Whether it ended with this command.
    pub has_ended: bool,
}

/// The resources that a command used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Usage {
    /// Milliseconds from the start of the command to its end.
    pub wall_ms: u64,
    /// CPU time, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// The largest resident set size of one process, in bytes; 0 in a shared shell, where it is not counted.
    pub max_rss_bytes: u64,
    /// The most memory that all processes of the command used together, including the page cache of
    /// their files, in bytes; absent where that is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// How many processes of the command the kernel killed for memory, where that can be counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_kills: u64,
    /// How many processes still ran when the command exited. They were killed, unless the command
    /// allowed background processes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leftover_processes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
