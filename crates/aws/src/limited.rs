//! Ports of which a function may use no more than it lists.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::functions::{Function, Use};
use async_trait::async_trait;
use domain::{
    JobId, Secret, SessionId, TaskId,
    command::Command,
    message::Message,
    ports::{
        Attached, BackendError, Compute, PostError, Posted, Queue, Resume, RunError, RunTask,
        Shell, ShellError, SignedPost, StopError, Webhooks, Workflow,
    },
    task::TaskFacts,
};

/// A port behind the list of a function. The deployment makes the function's rights of the same list,
/// so what is refused here would be refused there.
pub struct Limited<P: ?Sized> {
    function: &'static Function,
    port: Option<Arc<P>>,
}

/// A function does something that it does not list.
#[derive(Debug, thiserror::Error)]
#[error("function {function} does not list {right}")]
pub struct Unlisted {
    function: &'static str,
    right: &'static str,
}

impl<P: ?Sized> Limited<P> {
    /// A port that a function lists nothing of need not be there.
    pub fn new(function: &'static Function, port: Option<Arc<P>>) -> Self {
        Self { function, port }
    }

    fn may(&self, right: Use) -> Result<&P, BackendError> {
        let port = self.port.as_deref().filter(|_| self.function.may(right));
        port.ok_or_else(|| {
            let unlisted = Unlisted { function: self.function.name, right: right.name() };
            BackendError::new("using a port", unlisted)
        })
    }
}

impl<P: ?Sized> fmt::Debug for Limited<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("function", &self.function.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for Limited<dyn Queue> {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        self.may(Use::Queue(message.lane()))?.send(message, delay).await
    }
}

#[async_trait]
impl Workflow for Limited<dyn Workflow> {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        self.may(Use::StartExecution)?.start(session).await
    }

    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError> {
        self.may(Use::ResumeExecution)?.resume(token, output).await
    }
}

#[async_trait]
impl Compute for Limited<dyn Compute> {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        self.may(Use::RunTask)?.run(task).await
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        self.may(Use::StopTask)?.stop(task, reason).await
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        self.may(Use::ReadTasks)?.describe(tasks).await
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        self.may(Use::ReadTasks)?.list(started_by).await
    }
}

#[async_trait]
impl Shell for Limited<dyn Shell> {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.may(Use::Shell)?.probe(task).await
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<Box<dyn Attached>, ShellError> {
        self.may(Use::Shell)?.start(task, job, command, env, from).await
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        self.may(Use::Shell)?.signal(task, job, signal).await
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.may(Use::Shell)?.cancel(task, job).await
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        self.may(Use::Shell)?.release(task, job).await
    }
}

#[async_trait]
impl Webhooks for Limited<dyn Webhooks> {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        match self.may(Use::Webhooks) {
            Ok(port) => port.post(post).await,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "a webhook was not sent");
                Err(PostError::Failed)
            }
        }
    }
}
