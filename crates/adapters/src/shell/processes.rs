//! Lists and signals the processes of a task's commands, over a connection that its runner gives to a process.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    JobId, Secret, TaskId, Timestamp,
    ports::{BackendError, BoxError, FilesError, Processes, ProcessesError},
    process::{Process, ProcessId, ProcessList},
};
use runner::protocol::{
    Request,
    files::decode_message,
    processes::{ProcessAction, ProcessReply, ProcessRequest, RunningProcess},
};
use tokio::time::timeout;

use super::{DEFAULT_USER, Dial, files::Transfer};

/// How long a shell may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Implements the port [`Processes`] over a [`Dial`].
pub struct RunnerProcesses<D> {
    dial: D,
}

impl<D: Dial> RunnerProcesses<D> {
    /// The processes of the tasks that `dial` reaches.
    pub const fn new(dial: D) -> Self {
        Self { dial }
    }

    async fn ask(
        &self,
        task: &TaskId,
        action: ProcessAction,
    ) -> Result<ProcessReply, ProcessesError> {
        let user = DEFAULT_USER.to_owned();
        let request = Request::Processes(ProcessRequest { user, action });
        let answer = async {
            let mut connection = Transfer::open(&self.dial, task, &request).await?;
            connection.receive().await
        };
        let answered = timeout(ANSWER_TIMEOUT, answer).await;
        let (_, body) = answered.unwrap_or(Err(FilesError::Interrupted)).map_err(of_files)?;
        decode_message(&body).map_err(|error| failed(error).into())
    }
}

#[async_trait]
impl<D: Dial> Processes for RunnerProcesses<D> {
    async fn list(&self, task: &TaskId) -> Result<ProcessList, ProcessesError> {
        let ProcessReply::Listed { processes, truncated } =
            self.ask(task, ProcessAction::List).await?
        else {
            return Err(unexpected());
        };
        let processes = processes.into_iter().map(process).collect::<Result<_, _>>()?;
        Ok(ProcessList { processes, truncated })
    }

    async fn signal(
        &self,
        task: &TaskId,
        ProcessId { pid, started_at }: ProcessId,
        signal: i32,
    ) -> Result<(), ProcessesError> {
        let started_ms = started_at.map(Timestamp::millis);
        let action = ProcessAction::Signal { pid, started_ms, signal };
        match self.ask(task, action).await? {
            ProcessReply::Signalled => Ok(()),
            ProcessReply::NoSuchProcess => Err(ProcessesError::NoSuchProcess),
            ProcessReply::Refused { message } => Err(ProcessesError::Refused(message)),
            ProcessReply::Listed { .. } => Err(unexpected()),
        }
    }
}

fn process(running: RunningProcess) -> Result<Process, ProcessesError> {
    let job = running.job_id.parse::<JobId>().map_err(failed)?;
    Ok(Process {
        job,
        pid: running.pid,
        parent_pid: running.parent_pid,
        user: running.user,
        name: running.name,
        arguments: Secret::new(running.arguments),
        arguments_truncated: running.arguments_truncated,
        started_at: Timestamp::from_millis(running.started_ms),
        cpu_time: Duration::from_millis(running.cpu_ms),
        memory_bytes: running.memory_bytes,
    })
}

fn of_files(error: FilesError) -> ProcessesError {
    match error {
        FilesError::Refused(_, message) => ProcessesError::Refused(message),
        FilesError::TooMany => ProcessesError::TooMany,
        FilesError::Interrupted => ProcessesError::Interrupted,
        FilesError::Backend(error) => error.into(),
    }
}

fn unexpected() -> ProcessesError {
    failed("an answer to another request").into()
}

fn failed(error: impl Into<BoxError>) -> BackendError {
    BackendError::new("asking a shell for its processes", error)
}

impl<D> std::fmt::Debug for RunnerProcesses<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerProcesses").finish_non_exhaustive()
    }
}
