//! The client of the runner inside a task.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{BackendError, FilesError};
use crate::{
    JobId, TaskId, Timestamp,
    command::Command,
    file::NewFile,
    job::{BackgroundProcess, Exit, ShellUse, TerminalAccess, Usage},
};

/// Why a request to a runner failed.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The runner does not answer yet, or does not answer now; try again later.
    #[error("the shell does not answer yet")]
    NotReady,
    /// The task has stopped, and its runner with it.
    #[error("the shell is gone")]
    Gone,
    /// The command was certainly not started by this call. The runner does not answer, or can't start it
    /// now; or the task has stopped (`gone`).
    #[error("the shell did not start the command")]
    NotStarted { gone: bool },
    /// Whether the request was received is not known; try again.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// One of a command's two output streams.
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

/// An event of a command, as its runner reports it.
#[derive(Clone, PartialEq, Eq)]
pub enum CommandEvent {
    /// The process was started.
    Started,
    /// Output, from this offset of the stream on. Each stream comes in order, and with at most one gap:
    /// the bytes between its beginning and its end that the command's `keep` gives up.
    Output { stream: Stream, offset: u64, bytes: Vec<u8> },
    /// The process ended; all stored output came before this event.
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
    /// Why the command ended.
    pub cause: EndCause,
    /// How the process ended, if one was started.
    pub exit: Option<Exit>,
    /// How many bytes it wrote to stdout, stored or not.
    pub stdout_written: u64,
    /// How many bytes it wrote to stderr, stored or not.
    pub stderr_written: u64,
    /// The resources that it used.
    pub usage: Usage,
    /// The first of the processes that it has left running, if the command allows that.
    pub background: Vec<BackgroundProcess>,
    /// What became of the shell that it shared with others.
    pub shell: Option<ShellUse>,
}

impl CommandEnd {
    /// The end of a command that has printed nothing and used nothing.
    pub fn without_output(cause: EndCause, exit: Option<Exit>) -> Self {
        Self {
            cause,
            exit,
            stdout_written: 0,
            stderr_written: 0,
            usage: Usage::default(),
            background: Vec::new(),
            shell: None,
        }
    }
}

/// Why a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndCause {
    /// The process exited, or a signal of the caller or of another process ended it.
    Exited,
    /// The command reached its timeout.
    TimedOut,
    /// The command was cancelled, possibly before it was started.
    Cancelled,
    /// The task shut down.
    Shutdown,
    /// A process was killed because the task reached its memory limit.
    OutOfMemory,
    /// There is no such program; the message says which.
    NotFound(String),
    /// The program exists but can't be executed; the message says why.
    NotExecutable(String),
    /// The process could not be started; the message says why.
    SpawnFailed(String),
    /// The command was started, and the runner does not know how it ended.
    Unknown,
}

/// What becomes of a command after [`Shell::start`].
#[must_use]
pub enum CommandStart {
    /// The caller follows the command over this connection.
    Attached(Box<dyn Attached>),
    /// The request was sent. Its runner reports what becomes of the command by itself, as a [`Report`] each;
    /// the request may be lost.
    Posted,
}

impl CommandStart {
    /// The connection that follows the command, if there is one.
    pub fn attached(self) -> Option<Box<dyn Attached>> {
        match self {
            Self::Attached(attached) => Some(attached),
            Self::Posted => None,
        }
    }
}

/// What a runner reports of a command by itself. A report may be lost, come twice, late, or in another
/// order; the runner repeats what is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub job: JobId,
    /// Output, in order. `Debug` does not print the bytes.
    pub output: Vec<ReportedOutput>,
    /// The command's end; with it, all output is reported.
    pub end: Option<ReportedEnd>,
}

/// A piece of output in a report.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedOutput {
    pub stream: Stream,
    /// Where the output before this piece ended: less than `offset` only at the gap of output that was cut.
    pub from: u64,
    /// The offset of the first byte.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// The end of a command in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedEnd {
    pub end: CommandEnd,
    /// Where stdout and stderr end, as far as they were kept.
    pub at: (u64, u64),
}

impl ReportedOutput {
    /// The offset behind the last byte.
    pub const fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl std::fmt::Debug for CommandStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Attached(_) => "Attached",
            Self::Posted => "Posted",
        })
    }
}

impl std::fmt::Debug for ReportedOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stream, from, offset, bytes } = self;
        write!(f, "{}, {from}, {offset}, {} bytes", stream.name(), bytes.len())
    }
}

/// A connection to one command. The command runs on when the connection is dropped.
#[async_trait]
pub trait Attached: Send {
    /// The next event; none if there is none before `until`.
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError>;
}

/// Runs commands in a task.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Succeeds once the runner accepts commands.
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError>;
    /// Writes files with the rights of the user of commands. Each takes its place as a whole; after an error
    /// some of them may be written.
    ///
    /// # Errors
    /// `Refused` if the shell can't write one of them; the message says which.
    async fn write_files(&self, task: &TaskId, files: &[NewFile]) -> Result<(), FilesError>;
    /// Moves the end of the task: it ends by itself some seconds after this much time from now.
    async fn set_deadline(&self, task: &TaskId, after: Duration) -> Result<(), ShellError>;
    /// Starts the command of a job, or attaches to it if this runner knows the job: a command never runs
    /// twice. Output is reported from these offsets on (stdout, stderr). `env` holds the session's
    /// variables, which those of the command override.
    ///
    /// # Errors
    /// `NotStarted` if the request has certainly not reached the runner or was refused for now. The first
    /// call of [`Attached::next`] may fail so too.
    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<CommandStart, ShellError>;
    /// Sends a signal to a running command's process group; no effect if the command has ended.
    ///
    /// # Errors
    /// `NotReady` if this runner does not know the job: the request to start it may be under way.
    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError>;
    /// Terminates a command; one that was not started yet never will be.
    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError>;
    /// Tells the runner that the result is stored: it may drop the output. It still knows the job.
    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError>;
    /// Makes a data channel to the terminal of a running job, which one client may open.
    ///
    /// # Errors
    /// `NotReady` if no channel can be made now.
    async fn open_terminal(&self, task: &TaskId, job: JobId) -> Result<TerminalAccess, ShellError>;
    /// Closes the connections that are kept for later calls, if any are. A process that may be suspended
    /// calls this first: in the task each open connection costs memory.
    async fn close_idle(&self) {}
}
