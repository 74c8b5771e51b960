//! What is said on a connection after [`Request::Processes`](super::Request::Processes): one frame, as a
//! message of [`super::files`] with a [`ProcessReply`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most processes of a list.
pub const MAX_LISTED: usize = 1000;
/// The most bytes of the arguments of one process, and of all processes of a list together.
pub const MAX_ARGUMENT_BYTES: usize = 1 << 10;
pub const MAX_LISTED_ARGUMENT_BYTES: usize = 128 << 10;
/// How far apart two times may be that are said to be the start of the same process: the clock may be set
/// between a list and a signal. A process can't get the pid of another one that soon.
pub const START_TOLERANCE_MS: u64 = 1000;

/// Lists or signals processes of commands: never the runner, nor a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRequest {
    /// The user that reads what there is to know of the processes, as in [`super::Start`].
    pub user: String,
    pub action: ProcessAction,
}

/// What is done with processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ProcessAction {
    /// Answered by `Listed`.
    List,
    /// Sends a signal to one process. Answered by `Signalled`, `NoSuchProcess` or `Refused`.
    Signal {
        pid: i32,
        /// When the process was started, if the caller knows: another process may have its pid by now.
        started_ms: Option<i64>,
        signal: i32,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum ProcessReply {
    Listed {
        /// In the order of their pids.
        processes: Vec<RunningProcess>,
        /// Whether there are more.
        truncated: bool,
    },
    Signalled,
    /// No process of a command has this pid, or it was started at another time.
    NoSuchProcess,
    Refused {
        message: String,
    },
}

/// A process of a command. `Debug` does not print its arguments, which may hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    pub job_id: String,
    /// Pids as the shell sees them.
    pub pid: i32,
    pub parent_pid: i32,
    /// The user's name, or number where the shell has no name for it.
    pub user: String,
    /// The name of the program, at most 15 bytes; see proc(5).
    pub name: String,
    pub arguments: Vec<String>,
    /// Whether arguments are left out or cut.
    pub arguments_truncated: bool,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// CPU time of the process itself and of its threads.
    pub cpu_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
}

impl fmt::Debug for RunningProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningProcess")
            .field("job_id", &self.job_id)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
