//! A task: a container, as its compute provider reports it.

use serde::{Deserialize, Serialize};

use crate::{TaskId, Timestamp};

/// One observation of a task, from an event or a query. It may be out of date; `version` orders the
/// observations of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFacts {
    /// The task.
    pub task: TaskId,
    /// The id of the session or of the warm task that requested the task.
    pub started_by: String,
    /// The number of the observed change; grows with every change of the task.
    pub version: u64,
    /// The task's status.
    pub status: TaskStatus,
    /// Whether the provider has decided to stop the task.
    pub ending: bool,
    /// Why the task stopped or is about to stop, if the provider says so.
    pub stop: Option<StopCause>,
    /// When the task was in this status.
    pub at: Timestamp,
}

/// The statuses of a task, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Accepted; waits for a place to run.
    Unplaced,
    /// It has a place to run, and does not run yet.
    Pending,
    /// The container runs; its runner may not answer yet.
    Running,
    /// About to stop.
    Stopping,
    /// Stopped. Final.
    Stopped,
}

/// Why a task stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopCause {
    /// The class of the cause.
    pub code: StopCode,
    /// The provider's message.
    pub message: String,
    /// The exit code of the task's first process, if it ran.
    pub exit_code: Option<i32>,
}

/// The classes of causes, one for each [`Reason`](crate::session::Reason) that they lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopCode {
    /// The task never ran.
    FailedToStart,
    /// The task's first process ended by itself.
    Exited,
    /// The first process was killed because the task reached its memory limit.
    OutOfMemory,
    /// A stop request of ours.
    Requested,
    /// The provider took the capacity back (Spot interruption).
    Interrupted,
    /// Anything else.
    Other,
}
