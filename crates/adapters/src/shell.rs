//! The runner inside a task, reached over any byte stream that carries its protocol.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    JobId, TaskId,
    command::{Command, Program},
    ports::{Attached, Clock, Shell, ShellError},
};
use runner::protocol::{Event, Offsets, PROTOCOL_VERSION, Request, Start};
use tokio::io::{AsyncRead, AsyncWrite};

mod connection;
mod end;
mod follower;
mod line;

use follower::Follower;
use line::{Line, unexpected};

/// Runs a command that names no user.
const DEFAULT_USER: &str = "shelluser";

/// Bytes to a runner and back.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The way to the runners of tasks. Each call ends by itself in a few seconds.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// A new connection to the task's runner. Dropping it closes it.
    ///
    /// # Errors
    /// `NotReady` if nobody listens yet or for the moment, `Gone` if nobody ever will again.
    async fn open(&self, task: &TaskId) -> Result<Box<dyn Transport>, ShellError>;

    /// Whether the task is over, or there never was one. Asked when a connection broke; where it is not known, no.
    async fn is_gone(&self, task: &TaskId) -> bool;

    /// How often the kernel killed a process of the task for its memory, where that is seen from
    /// outside. A runner that sees it itself says so.
    fn memory_kills(&self, task: &TaskId) -> u64;

    /// How long a connection that nobody uses is kept for the next request; zero is not at all.
    fn keep_idle(&self) -> Duration;
}

/// The shell's port over a way to reach runners.
pub struct RunnerShell<D> {
    line: Arc<Line<D>>,
}

impl<D: Dial> RunnerShell<D> {
    /// `clock` is the one that the deadlines of [`Attached::next`] go by.
    pub fn new(dial: D, clock: Arc<dyn Clock>) -> Self {
        Self { line: Arc::new(Line::new(dial, clock)) }
    }

    /// Sends a request whose answer says no more than whether it was understood.
    async fn ask(
        &self,
        action: &'static str,
        task: &TaskId,
        request: &Request,
        is_fine: impl Fn(&Event) -> bool,
    ) -> Result<(), ShellError> {
        let event = self.line.answer(task, request).await?;
        if is_fine(&event) { Ok(()) } else { Err(unexpected(action, &event)) }
    }
}

#[async_trait]
impl<D: Dial> Shell for RunnerShell<D> {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.ask("probing a runner", task, &Request::Probe, |answer| {
            matches!(answer, Event::Ready { protocol: PROTOCOL_VERSION, .. })
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
    ) -> Result<Box<dyn Attached>, ShellError> {
        let request = Request::Start(start(job, command, env, from));
        Ok(Box::new(Follower::start(&self.line, task, &request).await?))
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let request = Request::Signal { job_id: job.to_string(), signal };
        match self.line.answer(task, &request).await? {
            // An error says that the command has ended.
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
        self.ask("cancelling a command", task, &request, |answer| matches!(answer, Event::Ok)).await
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        let request = Request::Release { job_id: job.to_string() };
        self.ask("releasing a command", task, &request, |answer| {
            matches!(answer, Event::Ok | Event::Unknown)
        })
        .await
    }
}

fn start(
    job: JobId,
    command: &Command,
    env: &BTreeMap<String, String>,
    (stdout, stderr): (u64, u64),
) -> Start {
    let argv = match command.program.expose() {
        Program::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        Program::Argv(argv) => argv.clone(),
    };
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
        keep: runner::protocol::Keep::default(),
        background: false,
        from: Offsets { stdout, stderr },
    }
}

impl<D> std::fmt::Debug for RunnerShell<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerShell").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
