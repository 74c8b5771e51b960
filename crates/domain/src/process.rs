//! Processes of commands, as their shell shows them.

use std::time::Duration;

use crate::{JobId, Secret, Timestamp};

/// Names a process of a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    /// Inside of the shell.
    pub pid: i32,
    /// When it was started, if that is known: a pid is given to another process some time after its end.
    /// One second earlier or later counts as the same time.
    pub started_at: Option<Timestamp>,
}

/// A running process of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The job whose command has started it.
    pub job: JobId,
    /// Inside of the shell.
    pub pid: i32,
    pub parent_pid: i32,
    /// The name of its user, or the number of one without a name.
    pub user: String,
    /// The name of its program, at most 15 bytes.
    pub name: String,
    /// The beginning of its arguments.
    pub arguments: Secret<Vec<String>>,
    /// Whether arguments are left out or cut.
    pub arguments_truncated: bool,
    pub started_at: Timestamp,
    /// The CPU time that it has used.
    pub cpu_time: Duration,
    /// Its resident memory.
    pub memory_bytes: u64,
}

/// The processes of a shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessList {
    /// In the order of their pids.
    pub processes: Vec<Process>,
    /// Whether there are more.
    pub truncated: bool,
}
