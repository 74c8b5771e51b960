//! Sends requests to runners over the connections that they have opened.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use adapters::shell::{RunnerShell, start};
use async_trait::async_trait;
use domain::{
    JobId, TaskId,
    command::Command,
    file::{FileRefusal, NewFile},
    job::TerminalAccess,
    ports::{BackendError, Clock, CommandStart, FilesError, Shell, ShellError},
};
use link::split;

use super::{Connections, connections::Posted, requests::Request};
use crate::shell::ExecDial;

/// The runners of tasks that connect by themselves.
pub struct LinkShell {
    connections: Connections,
    /// Terminals, and the files of a start, need ECS Exec.
    terminals: Option<RunnerShell<ExecDial>>,
    clock: Arc<dyn Clock>,
}

impl LinkShell {
    /// Runners with these connections. Without `terminals`, none can be opened.
    pub fn new(
        connections: Connections,
        terminals: Option<RunnerShell<ExecDial>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { connections, terminals, clock }
    }

    /// An id that no other request has. Later ones sort behind earlier ones.
    fn unique(&self) -> String {
        format!("{:013}-{:032x}", self.clock.now().millis(), fastrand::u128(..))
    }
}

#[async_trait]
impl Shell for LinkShell {
    /// A runner that has connected accepts commands.
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        match self.connections.of(task).await? {
            Some(_) => Ok(()),
            None => Err(ShellError::NotReady),
        }
    }

    async fn write_files(&self, task: &TaskId, files: &[NewFile]) -> Result<(), FilesError> {
        let Some(shells) = &self.terminals else {
            let message = "this deployment can't write files; let a command fetch them";
            return Err(FilesError::Refused(FileRefusal::Failed, message.to_owned()));
        };
        shells.write_files(task, files).await
    }

    async fn set_deadline(&self, task: &TaskId, after: Duration) -> Result<(), ShellError> {
        let request = Request::deadline(self.clock.now() + after, &self.unique());
        Ok(self.connections.request(task, &request).await?)
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        let start = start(job, command, env, from);
        let frames = split(&start, &self.unique())
            .map_err(|error| BackendError::new("starting a command", error))?;
        match self.connections.post(task, &frames).await? {
            Posted::Posted => Ok(CommandStart::Posted),
            Posted::NotConnected => Err(ShellError::NotStarted { gone: false }),
        }
    }

    /// The runner gets it, now or with its next connection, and holds it back until it knows the job.
    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let request = Request::signal(job, signal, &self.unique());
        Ok(self.connections.request(task, &request).await?)
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        Ok(self.connections.request(task, &Request::cancel(job)).await?)
    }

    /// The answer to the last report of a command does that.
    async fn release(&self, _: &TaskId, _: JobId) -> Result<(), ShellError> {
        Ok(())
    }

    async fn open_terminal(&self, task: &TaskId, job: JobId) -> Result<TerminalAccess, ShellError> {
        let Some(terminals) = &self.terminals else {
            let error = "this deployment has no terminals";
            return Err(BackendError::new("opening a terminal", error).into());
        };
        terminals.open_terminal(task, job).await
    }

    async fn close_idle(&self) {
        if let Some(terminals) = &self.terminals {
            terminals.close_idle().await;
        }
    }
}

impl fmt::Debug for LinkShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkShell")
            .field("connections", &self.connections)
            .field("terminals", &self.terminals)
            .finish_non_exhaustive()
    }
}
