//! Ports of which a function can use no more than it lists.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    JobId, Secret, SessionId, TaskId,
    command::Command,
    file::{FileJob, FileReply, NewFile},
    job::TerminalAccess,
    message::Message,
    ports::{
        Answer, BackendError, CommandStart, Compute, FilesError, PostError, Posted, Queue, Resume,
        RunError, RunTask, Shell, ShellError, SignedPost, StopError, TransferUrl, Transfers,
        Webhooks, Workflow,
    },
    task::TaskFacts,
};

use super::{Function, Permission};

/// A port of a function. A use that the function does not list fails, as it would fail for a lack of
/// permission in a deployment that is made from the same list.
pub struct Scoped<P: ?Sized> {
    function: &'static Function,
    port: Option<Arc<P>>,
    on_refusal: OnRefusal,
}

/// Called with each use that is refused, before the use fails: some handlers survive a failure, and
/// would hide it.
pub type OnRefusal = fn(&NotPermittedError);

/// A function used a port in a way that it does not list.
#[derive(Debug, thiserror::Error)]
#[error("function {function} does not list the permission {permission}; see permissions.rs")]
pub struct NotPermittedError {
    function: &'static str,
    permission: &'static str,
}

/// Logs a use that is refused.
pub fn log_refusal(error: &NotPermittedError) {
    tracing::error!(error = error as &dyn std::error::Error, "refused the use of a port");
}

impl<P: ?Sized> Scoped<P> {
    /// Wraps a port. `port` may be `None` if the function lists nothing of it.
    pub fn new(function: &'static Function, port: Option<Arc<P>>, on_refusal: OnRefusal) -> Self {
        Self { function, port, on_refusal }
    }

    fn permit(&self, permission: Permission) -> Result<&P, BackendError> {
        let port = self.port.as_deref().filter(|_| self.function.may(permission));
        port.ok_or_else(|| {
            let (function, permission) = (self.function.name, permission.name());
            let error = NotPermittedError { function, permission };
            (self.on_refusal)(&error);
            BackendError::new("using a port", error)
        })
    }
}

impl<P: ?Sized> fmt::Debug for Scoped<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("function", &self.function.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for Scoped<dyn Queue> {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        self.permit(Permission::Queue(message.lane()))?.send(message, delay).await
    }
}

#[async_trait]
impl Workflow for Scoped<dyn Workflow> {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        self.permit(Permission::StartExecution)?.start(session).await
    }

    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError> {
        self.permit(Permission::ResumeExecution)?.resume(token, answer).await
    }
}

#[async_trait]
impl Compute for Scoped<dyn Compute> {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        self.permit(Permission::RunTask)?.run(task).await
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        self.permit(Permission::StopTask)?.stop(task, reason).await
    }

    async fn forget(&self, task: &TaskId) {
        if let Ok(port) = self.permit(Permission::StopTask) {
            port.forget(task).await;
        }
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        self.permit(Permission::ReadTasks)?.describe(tasks).await
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        self.permit(Permission::ReadTasks)?.list(started_by).await
    }
}

#[async_trait]
impl Shell for Scoped<dyn Shell> {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.permit(Permission::Shell)?.probe(task).await
    }

    async fn write_files(&self, task: &TaskId, files: &[NewFile]) -> Result<(), FilesError> {
        self.permit(Permission::Shell)?.write_files(task, files).await
    }

    async fn set_deadline(&self, task: &TaskId, after: Duration) -> Result<(), ShellError> {
        self.permit(Permission::Shell)?.set_deadline(task, after).await
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        let may_post = self.function.may(Permission::PostCommands);
        let permission = if may_post { Permission::PostCommands } else { Permission::Shell };
        self.permit(permission)?.start(task, job, command, env, from).await
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        self.permit(Permission::Shell)?.signal(task, job, signal).await
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.permit(Permission::Shell)?.cancel(task, job).await
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.permit(Permission::Shell)?.release(task, job).await
    }

    async fn open_terminal(&self, task: &TaskId, job: JobId) -> Result<TerminalAccess, ShellError> {
        self.permit(Permission::Shell)?.open_terminal(task, job).await
    }

    async fn close_idle(&self) {
        if let Ok(shell) = self.permit(Permission::Shell) {
            shell.close_idle().await;
        }
    }
}

#[async_trait]
impl Webhooks for Scoped<dyn Webhooks> {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        match self.permit(Permission::Webhooks) {
            Ok(port) => port.post(post).await,
            Err(_) => Err(PostError::Failed),
        }
    }
}

#[async_trait]
impl Transfers for Scoped<dyn Transfers> {
    async fn put_url(&self, object: &str, bytes: u64) -> Result<TransferUrl, BackendError> {
        self.permit(Permission::Transfers)?.put_url(object, bytes).await
    }

    async fn get_url(&self, object: &str) -> Result<TransferUrl, BackendError> {
        self.permit(Permission::Transfers)?.get_url(object).await
    }

    async fn command(
        &self,
        command: &Command,
        job: &FileJob,
        object: &str,
    ) -> Result<Command, BackendError> {
        self.permit(Permission::Transfers)?.command(command, job, object).await
    }

    fn replies(&self, printed: &[u8]) -> Result<Vec<FileReply>, FilesError> {
        self.permit(Permission::Transfers)?.replies(printed)
    }
}
