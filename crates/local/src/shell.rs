//! The runner inside a sandbox, reached over its unix socket.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    JobId, TaskId, Timestamp,
    command::{Command, Program},
    ports::{Attached, Backend, Clock, CommandEnd, CommandEvent, EndCause, Shell, ShellError},
};
use runner::protocol::{Event, Offsets, PROTOCOL_VERSION, Request, Start};

mod connection;
mod end;

use connection::{Broken, Connection};

/// How long a runner may take to answer anything but a command's progress. It is one process with
/// nothing else to do; the machine may be slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Runs a command that names no user.
const DEFAULT_USER: &str = "shelluser";

/// What the host knows of its tasks. Answers come from memory.
pub trait Tasks: Send + Sync {
    /// Where the task's runner listens. There may be nothing yet, or no more.
    fn socket(&self, task: &TaskId) -> PathBuf;
    /// Whether the task is over, or there never was one.
    fn is_gone(&self, task: &TaskId) -> bool;
    /// How often the kernel killed a process of the task for its memory.
    fn memory_kills(&self, task: &TaskId) -> u64;
}

/// Reaches runners over the sockets that their sandboxes share with the host.
pub struct UnixShell {
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
}

impl UnixShell {
    /// `clock` is the one that the deadlines of [`Attached::next`] go by.
    pub fn new(tasks: Arc<dyn Tasks>, clock: Arc<dyn Clock>) -> Self {
        Self { tasks, clock }
    }

    async fn send(&self, task: &TaskId, request: &Request) -> Result<Connection, ShellError> {
        let sent = async {
            let mut connection = Connection::open(&self.tasks.socket(task)).await?;
            connection.send(request).await?;
            Ok(connection)
        };
        within(sent).await.map_err(|broken| broken.seen_from(self.tasks.as_ref(), task))
    }

    /// Sends a request whose answer says no more than whether it was understood.
    async fn ask(
        &self,
        action: &'static str,
        task: &TaskId,
        request: &Request,
        is_fine: impl Fn(&Event) -> bool,
    ) -> Result<(), ShellError> {
        let event = self.answer(task, request).await?;
        if is_fine(&event) { Ok(()) } else { Err(unexpected(action, &event)) }
    }

    async fn answer(&self, task: &TaskId, request: &Request) -> Result<Event, ShellError> {
        let mut connection = self.send(task, request).await?;
        let answer = within(connection.receive()).await;
        answer.map_err(|broken| broken.seen_from(self.tasks.as_ref(), task))
    }
}

#[async_trait]
impl Shell for UnixShell {
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
        let memory_kills = self.tasks.memory_kills(task);
        let request = Request::Start(start(job, command, env, from));
        let connection = self.send(task, &request).await?;
        Ok(Box::new(Follower {
            connection,
            task: task.clone(),
            memory_kills,
            tasks: Arc::clone(&self.tasks),
            clock: Arc::clone(&self.clock),
        }))
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let request = Request::Signal { job_id: job.to_string(), signal };
        match self.answer(task, &request).await? {
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

/// Follows one command.
struct Follower {
    connection: Connection,
    task: TaskId,
    /// As it was before the command, or before we took it over.
    memory_kills: u64,
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Attached for Follower {
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        let rest = until.since(self.clock.now());
        let Ok(received) = tokio::time::timeout(rest, self.connection.receive()).await else {
            return Ok(None);
        };
        let event = received.map_err(|b| b.seen_from(self.tasks.as_ref(), &self.task))?;
        self.told(event).map(Some)
    }
}

impl Follower {
    fn told(&self, event: Event) -> Result<CommandEvent, ShellError> {
        Ok(match event {
            Event::Started => CommandEvent::Started,
            Event::Output(output) => CommandEvent::Output {
                stream: end::stream(output.stream),
                offset: output.offset,
                bytes: output.bytes,
            },
            Event::Exited(exit) => {
                let killed = || self.tasks.memory_kills(&self.task) > self.memory_kills;
                CommandEvent::Ended(end::command_end(exit, killed))
            }
            // The runner will not run it, now or later.
            Event::Error { message, retryable: false } => CommandEvent::Ended(CommandEnd {
                cause: EndCause::SpawnFailed(message),
                exit: None,
                stdout_written: 0,
                stderr_written: 0,
                usage: domain::job::Usage::default(),
            }),
            Event::Error { message, retryable: true } => {
                return Err(Backend::new("starting a command", message).into());
            }
            other @ (Event::Ready { .. } | Event::Unknown | Event::Ok) => {
                return Err(unexpected("following a command", &other));
            }
        })
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
        from: Offsets { stdout, stderr },
    }
}

/// A runner that does not answer in time counts as one that does not answer yet.
async fn within<T>(work: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    tokio::time::timeout(ANSWER_WITHIN, work).await.unwrap_or(Err(Broken::Closed))
}

fn unexpected(action: &'static str, event: &Event) -> ShellError {
    let name = match event {
        Event::Ready { .. } => "a runner of another protocol version",
        Event::Started => "a start",
        Event::Output(_) => "output",
        Event::Exited(_) => "an end",
        Event::Unknown => "no knowledge of the job",
        Event::Ok => "a bare consent",
        Event::Error { message, .. } => return Backend::new(action, message.clone()).into(),
    };
    Backend::new(action, format!("the runner answered with {name}")).into()
}

impl std::fmt::Debug for UnixShell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnixShell").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
