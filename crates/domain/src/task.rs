//! A running container, as its compute provider reports it.

use serde::{Deserialize, Serialize};

use crate::{TaskId, Timestamp};

/// What is known of a task at one moment. Comes by events and by asking; both may be old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFacts {
    /// The task.
    pub task: TaskId,
    /// Who had it started: a session's id or a warm task's.
    pub started_by: String,
    /// Grows with every change of the task.
    pub version: u64,
    /// Where the task is.
    pub status: TaskStatus,
    /// Whether its provider has decided to end it.
    pub ending: bool,
    /// Why it stopped or is about to.
    pub stop: Option<StopCause>,
    /// When this was so.
    pub at: Timestamp,
}

/// The stages of a task's life that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Accepted, not running yet.
    Pending,
    /// The container runs. Does not mean that its runner answers.
    Running,
    /// On its way to the end.
    Stopping,
    /// Gone.
    Stopped,
}

/// Why a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopCause {
    /// The class of the cause.
    pub code: StopCode,
    /// The provider's words.
    pub message: String,
    /// How the shell's first process ended, if it ran.
    pub exit_code: Option<i32>,
}

/// The classes of causes that lead to different reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopCode {
    /// It never ran.
    FailedToStart,
    /// Its first process ended by itself.
    Exited,
    /// The memory limit was hit and the first process was killed.
    OutOfMemory,
    /// We asked for it.
    Requested,
    /// The provider took the capacity back.
    Interrupted,
    /// Anything else.
    Other,
}
