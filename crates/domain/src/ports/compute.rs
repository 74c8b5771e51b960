//! Where tasks run.

use async_trait::async_trait;

use super::BackendError;
use crate::{TaskId, size::Network, size::Size, task::TaskFacts};

/// A task to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTask {
    /// Whom it is for; its events carry this.
    pub started_by: String,
    /// The same token never runs a second task.
    pub client_token: String,
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// What it can reach.
    pub network: Network,
    /// Cheaper capacity first.
    pub spot: bool,
}

/// Why no task was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no room now. Definite: nothing runs; ask again with a new token.
    #[error("no capacity: {0}")]
    Capacity(String),
    /// Asked too often. Nothing runs; ask again with the same token.
    #[error("asked too often")]
    Throttled,
    /// This can't be run, ever: the words say why.
    #[error("refused: {0}")]
    Refused(String),
    /// Whether a task runs is not known; ask again with the same token.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why a task was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such task (any more).
    #[error("unknown task")]
    Unknown,
    /// Asked too often.
    #[error("asked too often")]
    Throttled,
    /// Try again.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Runs and stops tasks. What becomes of them comes as task events.
#[async_trait]
pub trait Compute: Send + Sync {
    /// Has a task run. Safe to repeat with the same token: the same task comes back.
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError>;
    /// Has a task stopped. Stopping a stopped task succeeds. `reason` is for people.
    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError>;
    /// What is known of these tasks; unknown ones are left out.
    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError>;
    /// All tasks that are not stopped, or those of one starter.
    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError>;
}
