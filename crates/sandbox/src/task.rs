//! What is asked of a sandbox, and what is known of it.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Names a task: `task-` and 20 hex digits of its client token's SHA-256, so that asking twice
/// with one token can only ever name one task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The only task that this token can ever start.
    pub fn of_token(token: &str) -> Self {
        let hash = Sha256::digest(token.as_bytes());
        let hex: String = hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("task-{hex}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no task id.
#[derive(Debug, thiserror::Error)]
#[error("not a task id")]
pub struct NotATaskId;

impl FromStr for TaskId {
    type Err = NotATaskId;

    fn from_str(text: &str) -> Result<Self, NotATaskId> {
        let hex = text.strip_prefix("task-").ok_or(NotATaskId)?;
        let valid = hex.len() == 20 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(Self(text.to_owned())) } else { Err(NotATaskId) }
    }
}

impl TryFrom<String> for TaskId {
    type Error = NotATaskId;

    fn try_from(text: String) -> Result<Self, NotATaskId> {
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

/// What a task can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Its own loopback.
    None,
    /// The outside through user-mode translation (`pasta`); never the host's own network.
    Egress,
}

/// A sandbox to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Who asked, for [`Driver::list`](crate::Driver::list).
    pub started_by: String,
    /// The same token names the same task, for ever.
    pub token: String,
    /// 1024 are one CPU.
    pub cpu_units: u32,
    /// Of all processes and files in memory; swap is not used.
    pub memory_mib: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Of `/tmp` and the home directory together.
    pub tmpfs_mib: u32,
    pub network: Network,
}

/// Where a task is; ECS's words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Provisioning,
    Running,
    Stopping,
    Stopped,
}

/// Where a task should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    Running,
    Stopped,
}

/// Why a task stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// It never ran.
    TaskFailedToStart,
    /// PID 1 ended by itself, or was killed from the outside.
    EssentialContainerExited,
    /// [`Driver::stop`](crate::Driver::stop) was called.
    UserInitiated,
}

/// A task as it is known now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    pub id: TaskId,
    pub started_by: String,
    /// Grows with each change: of two reports, the one with the higher version is newer.
    pub version: u64,
    pub last_status: Status,
    pub desired: Desired,
    pub stop_code: Option<StopCode>,
    /// In words; empty while nothing stopped it.
    pub stopped_reason: String,
    /// Of PID 1; 128 + n if signal n killed it. `None` if it never ran, or ended unobserved.
    pub exit_code: Option<i32>,
    /// Whether the kernel killed a process of it for lack of memory.
    pub oom_killed: bool,
    /// Milliseconds since 1970, as the others.
    pub created_at_ms: u64,
    pub started_at_ms: Option<u64>,
    pub stopped_at_ms: Option<u64>,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
