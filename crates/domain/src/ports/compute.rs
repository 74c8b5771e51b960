//! The provider that runs tasks.

use std::time::Duration;

use async_trait::async_trait;

use super::BackendError;
use crate::{TaskId, size::Network, size::Size, task::TaskFacts};

/// A request to run a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTask {
    /// The id of the session or of the warm task that requests the task; the task's events carry it.
    pub started_by: String,
    /// Requests with the same token run one task.
    pub client_token: String,
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// What the task can reach over the network.
    pub network: Network,
    /// Whether to prefer cheaper capacity that the provider can take back.
    pub spot: bool,
    /// How long after its start the task ends by itself at the latest, whatever becomes of this service;
    /// [`Shell::set_deadline`](super::Shell::set_deadline) moves that. The same for requests with the
    /// same token.
    pub lifetime: Duration,
}

/// Why no task was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The provider has no capacity now. No task runs; try again with a new token.
    #[error("no capacity: {0}")]
    Capacity(String),
    /// The provider throttled the request. No task runs; try again with the same token.
    #[error("the provider throttled the request")]
    Throttled,
    /// The provider refuses this request for good; its message.
    #[error("refused: {0}")]
    Refused(String),
    /// Whether a task runs is not known; try again with the same token.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why a task was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such task, or no more.
    #[error("unknown task")]
    Unknown,
    /// The provider throttled the request; try again.
    #[error("the provider throttled the request")]
    Throttled,
    /// Whether the request was received is not known; try again.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Runs and stops tasks. Their changes arrive as [`TaskEvent`](crate::message::Message::TaskEvent) messages.
#[async_trait]
pub trait Compute: Send + Sync {
    /// Requests a task. Safe to repeat with the same token, which gives the same task.
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError>;
    /// Requests that a task stops. Succeeds for a stopped task. `reason` is for people.
    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError>;
    /// The latest observations of these tasks; unknown tasks are left out.
    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError>;
    /// Says that a stopped task is of no interest any more. Providers that forget by themselves do nothing.
    async fn forget(&self, _task: &TaskId) {}
    /// All tasks that have not stopped, or those with this `started_by`.
    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError>;
}
