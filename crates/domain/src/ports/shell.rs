//! The runner inside a task, reached from outside.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::BackendError;
use crate::{
    JobId, TaskId, Timestamp,
    command::Command,
    job::{Exit, Usage},
};

/// Why a runner was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// It does not answer yet, or not for the moment.
    #[error("the shell does not answer yet")]
    NotReady,
    /// The task is gone, and the runner with it.
    #[error("the shell is gone")]
    Gone,
    /// Try again.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// One of a command's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What an attached runner tells.
#[derive(Clone, PartialEq, Eq)]
pub enum CommandEvent {
    /// The process runs.
    Started,
    /// Output from this offset on.
    Output { stream: Stream, offset: u64, bytes: Vec<u8> },
    /// The process ended; all kept output was told before.
    Ended(CommandEnd),
}

impl std::fmt::Debug for CommandEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Started => f.write_str("Started"),
            Self::Output { stream, offset, bytes } => {
                write!(f, "Output({}, {offset}, {} bytes)", stream.name(), bytes.len())
            }
            Self::Ended(end) => write!(f, "Ended({end:?})"),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// The class of its end.
    pub cause: EndCause,
    /// How the process ended, if one ran.
    pub exit: Option<Exit>,
    /// Bytes it wrote to stdout in all, kept or not.
    pub stdout_written: u64,
    /// Bytes it wrote to stderr in all, kept or not.
    pub stderr_written: u64,
    /// What it used.
    pub usage: Usage,
}

/// The classes of a command's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndCause {
    /// By itself, or by a signal from inside or from the caller.
    Exited,
    /// The deadline.
    TimedOut,
    /// It was cancelled, perhaps before it ran.
    Cancelled,
    /// The session's end took it along.
    Shutdown,
    /// The memory limit.
    OutOfMemory,
    /// There is no such program.
    NotFound(String),
    /// The process could not be made.
    SpawnFailed(String),
    /// It was begun, and the runner does not know what became of it.
    Unknown,
}

/// A connection to one command. Dropping it leaves the command alone.
#[async_trait]
pub trait Attached: Send {
    /// The next event; none when `until` has come first.
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError>;
}

/// Runs commands in a task.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Succeeds once the runner takes commands.
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError>;
    /// Starts the command of a job, or attaches to it if this runner has seen the job: it never runs
    /// twice. Output is told from these offsets on (stdout, stderr). `env` goes below the command's.
    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<Box<dyn Attached>, ShellError>;
    /// Sends a signal to a running command's process group; no effect if it has ended. `NotReady` if
    /// this runner has not seen the job: its start may be on the way.
    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError>;
    /// Ends a command; one that was not started yet never will be.
    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError>;
    /// The result is stored: the runner may drop the output. It goes on to know the job.
    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError>;
}
