//! The client of the runner inside a task, over any byte stream that carries its protocol.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    JobId, Secret, TaskId, Timestamp,
    command::{Command, Keep, MAX_RECORDING, Program, ShellName},
    file::NewFile,
    job::TerminalAccess,
    ports::{Clock, CommandStart, FilesError, Shell, ShellError},
};
use runner::protocol::{self, Event, Offsets, PROTOCOL_VERSION, Request, Start};
use tokio::io::{AsyncRead, AsyncWrite};

mod connection;
mod end;
mod files;
mod follower;
mod pool;
mod processes;
mod report;
mod start_files;
mod terminal;

pub use files::{RunnerFiles, printed_replies, to_wire};
use follower::Follower;
use pool::{ConnectionPool, unexpected};
pub use processes::RunnerProcesses;
pub use report::{report, stored};
pub use runner::protocol::Cause;
pub use terminal::{TerminalError, TerminalInput, TerminalOutput, open_terminal};

/// A job stores all marks that a runner sends.
const _: () = assert!(domain::marks::MAX_MARK_BYTES == runner::protocol::marks::MAX_MARK_BYTES);

/// How long a token of a terminal's data channel can be used.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// The user of a command that names none.
const DEFAULT_USER: &str = "shelluser";

/// A byte stream to a runner and back.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects to the runners of tasks. Each call returns within a few seconds.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Opens a new connection to the task's runner. Dropping it closes it.
    ///
    /// # Errors
    /// `NotReady` if nothing listens yet or now, `Gone` if the task has stopped.
    async fn open(&self, task: &TaskId) -> Result<Box<dyn Transport>, ShellError>;

    /// Whether the task has stopped or never existed; false where that is not known. Called when a
    /// connection failed.
    async fn is_gone(&self, task: &TaskId) -> bool;

    /// The task was told to end this long from now: whatever else ends it must know. Nothing does by default.
    async fn set_deadline(&self, _task: &TaskId, _after: Duration) {}

    /// How many processes of the task the kernel has killed for memory, where that can be observed
    /// from outside the task; else 0, and the runner itself reports such a kill.
    fn memory_kills(&self, task: &TaskId) -> u64;

    /// Whether this error of a connection proves that the runner has not read all of what was sent to
    /// it.
    fn proves_unread(&self, error: &io::Error) -> bool;

    /// How long an idle connection is kept for the next request; zero closes it at once.
    fn keep_idle(&self) -> Duration;

    /// Makes a data channel to the terminal of a job, which one client may open before `until`.
    ///
    /// # Errors
    /// As those of [`Dial::open`].
    async fn offer_terminal(
        &self,
        task: &TaskId,
        job: JobId,
        until: Timestamp,
    ) -> Result<DataChannel, ShellError>;
}

/// What a client needs to open a data channel. `Debug` does not show the token.
#[derive(Debug)]
pub struct DataChannel {
    pub id: String,
    pub stream_url: String,
    pub token: Secret<String>,
}

/// Implements the port [`Shell`] over a [`Dial`].
pub struct RunnerShell<D> {
    pool: Arc<ConnectionPool<D>>,
}

impl<D: Dial> RunnerShell<D> {
    /// A client of the runners that `dial` reaches. The deadlines of [`Attached::next`] are times of
    /// `clock`.
    pub fn new(dial: D, clock: Arc<dyn Clock>) -> Self {
        Self { pool: Arc::new(ConnectionPool::new(dial, clock)) }
    }

    /// Sends a request whose answer is a mere acknowledgement: one that `is_expected` accepts.
    async fn acknowledge(
        &self,
        action: &'static str,
        task: &TaskId,
        request: &Request,
        is_expected: impl Fn(&Event) -> bool,
    ) -> Result<(), ShellError> {
        let event = self.pool.request(task, request).await?;
        if is_expected(&event) { Ok(()) } else { Err(unexpected(action, &event)) }
    }
}

#[async_trait]
impl<D: Dial> Shell for RunnerShell<D> {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.acknowledge("probing a runner", task, &Request::Probe, |answer| {
            matches!(answer, Event::Ready { protocol: PROTOCOL_VERSION, .. })
        })
        .await
    }

    async fn write_files(&self, task: &TaskId, files: &[NewFile]) -> Result<(), FilesError> {
        start_files::write(&self.pool.dial, task, files).await
    }

    async fn set_deadline(&self, task: &TaskId, after: Duration) -> Result<(), ShellError> {
        self.pool.dial.set_deadline(task, after).await;
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let request = Request::SetDeadline { after_ms };
        self.acknowledge("setting a deadline", task, &request, |answer| {
            // A runner that is older than this request refuses it, and has no deadline.
            matches!(answer, Event::Ok | Event::Error { .. })
        })
        .await
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        let request = Request::Start(start(job, command, env, from));
        let follower = Follower::start(&self.pool, task, &request).await?;
        Ok(CommandStart::Attached(Box::new(follower)))
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let request = Request::Signal { job_id: job.to_string(), signal };
        match self.pool.request(task, &request).await? {
            // The runner answers with an error if the command has ended.
            Event::Ok | Event::Error { .. } => Ok(()),
            Event::Unknown => Err(ShellError::NotReady),
            other
            @ (Event::Ready { .. } | Event::Started | Event::Output(_) | Event::Exited(_)) => {
                Err(unexpected("signalling a command", &other))
            }
        }
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        let request = Request::Cancel { job_id: job.to_string() };
        self.acknowledge("cancelling a command", task, &request, |answer| {
            matches!(answer, Event::Ok)
        })
        .await
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        let request = Request::Release { job_id: job.to_string() };
        self.acknowledge("releasing a command", task, &request, |answer| {
            matches!(answer, Event::Ok | Event::Unknown)
        })
        .await
    }

    async fn open_terminal(&self, task: &TaskId, job: JobId) -> Result<TerminalAccess, ShellError> {
        let expires_at = self.pool.clock.now() + TOKEN_LIFETIME;
        let channel = self.pool.dial.offer_terminal(task, job, expires_at).await?;
        let DataChannel { id: channel, stream_url, token } = channel;
        Ok(TerminalAccess { channel, stream_url, token, expires_at })
    }

    async fn close_idle(&self) {
        self.pool.close_idle().await;
    }
}

/// The runner's request to start the command of a job.
pub fn start(
    job: JobId,
    command: &Command,
    env: &BTreeMap<String, String>,
    (stdout, stderr): (u64, u64),
) -> Start {
    let argv = match command.program.expose() {
        Program::Shell(line) => {
            let shell = command.shell.unwrap_or(ShellName::Sh).program();
            vec![shell.to_owned(), "-c".to_owned(), line.clone()]
        }
        Program::Argv(argv) => argv.clone(),
        // On a terminal no program means that.
        Program::LoginShell => Vec::new(),
    };
    let is_line = matches!(command.program.expose(), Program::Shell(_));
    let mut all = env.clone();
    all.extend(command.env.expose().clone());
    Start {
        job_id: job.to_string(),
        argv,
        cwd: command.cwd.as_ref().map(|cwd| cwd.expose().clone()),
        env: all.into_iter().collect(),
        user: command.user.clone().unwrap_or_else(|| DEFAULT_USER.to_owned()),
        stdin: command.stdin.expose().clone(),
        timeout_ms: u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX),
        max_output_bytes: command.max_output_bytes,
        keep: match command.keep {
            Keep::Head => protocol::Keep::Head,
            Keep::Tail => protocol::Keep::Tail,
            Keep::Both => protocol::Keep::Both,
        },
        merge: command.merge,
        marks: command.has_marks(),
        prefer_bash: is_line && command.shell.is_none(),
        background: command.background,
        shell: command.shared_shell.clone(),
        from: Offsets { stdout, stderr },
        terminal: command.terminal.map(|terminal| protocol::Terminal {
            cols: terminal.cols,
            rows: terminal.rows,
            idle_ms: terminal.idle.map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            record_bytes: terminal.record.then_some(MAX_RECORDING),
        }),
    }
}

impl<D> std::fmt::Debug for RunnerShell<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerShell").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
