//! The specification of a task, and its reported state.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest;

/// The id of a task: `task-` and the first 20 hex digits of its client token's SHA-256, so that two
/// requests with the same token always name the same task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id of the task that this token starts.
    pub fn of_token(token: &str) -> Self {
        Self(format!("task-{}", digest::hex(token.as_bytes(), 20)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a task id.
#[derive(Debug, thiserror::Error)]
#[error("not a task id: expected task- and 20 lower-case hex digits")]
pub struct TaskIdError;

impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        let hex = text.strip_prefix("task-").ok_or(TaskIdError)?;
        let valid = hex.len() == 20 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(Self(text.to_owned())) } else { Err(TaskIdError) }
    }
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(text: String) -> Result<Self, TaskIdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The network that a task can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Only its own loopback interface.
    None,
    /// The internet through user-mode networking (`pasta`); never the host's own network namespace.
    Egress,
}

/// A task to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The owner of the task, for [`Driver::list`](crate::Driver::list).
    pub started_by: String,
    /// Client token: the same token always names the same task.
    pub token: String,
    /// CPU limit; 1024 units are one CPU.
    pub cpu_units: u32,
    /// Limit of the memory of all processes and of all files on tmpfs, in MiB. Swap is not used.
    pub memory_mib: u32,
    /// Largest number of processes and threads.
    pub pids: u32,
    /// Size of the disk for `/tmp`, the home directory and what is written to the image, in MiB. Where
    /// the host has no disk images it is held in memory, and is at most half of it.
    #[serde(alias = "tmpfs_mib")]
    pub disk_mib: u32,
    /// How long after its request the task is killed, unless [`Driver::set_deadline`] changes that.
    ///
    /// [`Driver::set_deadline`]: crate::Driver::set_deadline
    #[serde(default)]
    pub lifetime: Option<Duration>,
    pub network: Network,
}

/// The state of a task, with the names that ECS uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Provisioning,
    Running,
    Stopping,
    Stopped,
}

/// The state that a task should reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    Running,
    Stopped,
}

/// Why a task stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// The task never ran.
    TaskFailedToStart,
    /// PID 1 ended by itself or was killed from outside of the sandbox.
    EssentialContainerExited,
    /// [`Driver::stop`](crate::Driver::stop) was called.
    UserInitiated,
}

/// The current state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    pub id: TaskId,
    pub started_by: String,
    /// Increases with each change: of two reports, the one with the higher version is newer.
    pub version: u64,
    pub last_status: Status,
    pub desired: Desired,
    pub stop_code: Option<StopCode>,
    /// Explanation of the stop code for people; empty while nothing has stopped the task.
    pub stopped_reason: String,
    /// Exit code of PID 1; 128 + n if signal n killed it. `None` if PID 1 never ran, or ended while no
    /// driver was running.
    pub exit_code: Option<i32>,
    /// Whether the kernel's out-of-memory killer killed a process of the task.
    pub oom_killed: bool,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    pub stopped_at_ms: Option<u64>,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
