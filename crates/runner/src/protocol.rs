//! Requests and events, and the frames they travel in.
//!
//! A connection carries any number of requests, answered in order. `Start` and `Attach` make it
//! follow one job: `Started`, `Output`..., `Exited`. While it follows, the other requests are
//! still answered, between two of the job's events; a second `Start` or `Attach` is an `Error`.
//! Several connections may follow one job, and each gets everything at its own pace.

use std::fmt;

use serde::{Deserialize, Serialize};

mod codec;

pub use codec::{Decoder, MAX_FRAME_BYTES, Message, Violation};

/// Raised when a frame changes so that an older peer would misread it.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a caller asks of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Runs a job, or follows it if its id was seen before: a job id never runs twice.
    Start(Start),
    /// Follows a job from the given offsets. Answered by `Unknown` if no such id was seen.
    Attach { job_id: String, from: Offsets },
    /// Sends a signal to the job's process group. `Ok`, `Unknown`, or `Error` if it has ended.
    Signal { job_id: String, signal: i32 },
    /// SIGTERM to the job's process group, SIGKILL 5 s later. Always `Ok`: an ended job stays as
    /// it is, and an id not seen yet is remembered, so that a later `Start` never runs it.
    Cancel { job_id: String },
    /// The result is stored elsewhere: the kept output may go, the id and its exit stay known.
    /// `Ok`, `Unknown`, or `Error` if the job still runs.
    Release { job_id: String },
    /// Answered by `Ready` as soon as the runner takes jobs.
    Probe,
}

/// A job to run. `Debug` shows neither the command nor its environment or input.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub job_id: String,
    /// The program, looked up in `PATH`, and its arguments; `["sh", "-c", command]` for a shell line.
    pub argv: Vec<String>,
    /// The user's home if `None`, or `/` without one. A directory that is asked for and can't be
    /// entered ends the job as `SpawnFailed`.
    pub cwd: Option<String>,
    /// Added to the clean environment, and stronger than it.
    pub env: Vec<(String, String)>,
    /// Any user of the image but root.
    pub user: String,
    /// Read by the command, then end of file. Travels raw behind the JSON.
    #[serde(skip)]
    pub stdin: Vec<u8>,
    /// From the spawn until SIGTERM; SIGKILL follows 5 s later.
    pub timeout_ms: u64,
    /// Kept of each stream; what comes after is counted and dropped.
    pub max_output_bytes: u64,
    /// Where to follow from, if the job was seen before.
    pub from: Offsets,
}

/// How many bytes of each stream the caller already has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    pub stdout: u64,
    pub stderr: u64,
}

/// What the runner answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Answer to `Probe`.
    Ready { version: String, protocol: u32 },
    /// The job's program runs or has run. Left out if the job ended without ever running.
    Started,
    /// Kept output, in order within its stream.
    #[serde(skip)]
    Output(Output),
    /// The end, after all kept output was sent on this connection.
    Exited(Exit),
    /// This runner has never seen the job id.
    Unknown,
    /// Done.
    Ok,
    /// The request had no effect. A refused `Start` ran nothing and left its id unseen, so it may be
    /// sent again when `retryable`: the lack (of processes, memory, disk) may pass.
    Error { message: String, retryable: bool },
}

/// A piece of kept output. `Debug` shows its place and size only.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    pub stream: Stream,
    /// Of the first byte, counted from the start of the stream.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a job ended, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub cause: Cause,
    pub stdout: Total,
    pub stderr: Total,
    pub usage: Usage,
}

/// One stream's size at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Written by the job, also beyond the cap.
    pub bytes: u64,
    /// Kept and sent; less than `bytes` if the cap or a full disk cut the stream.
    pub kept: u64,
}

impl Total {
    pub fn truncated(self) -> bool {
        self.kept < self.bytes
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// It ended by itself.
    Exited { code: i32 },
    /// A signal ended it that neither deadline, cancel nor shutdown sent.
    Signalled { signal: i32 },
    /// The deadline passed; `ended` says what the process made of it.
    TimedOut { ended: Ended },
    /// Cancelled; `None` if it had not been started and now never will be.
    Cancelled { ended: Option<Ended> },
    /// The shell itself was stopped while the job ran.
    Interrupted { ended: Ended },
    /// The kernel killed it for its memory.
    OomKilled,
    /// There is no such program.
    NotFound { message: String },
    /// It could not be run as asked: no such user or directory, root, not executable.
    SpawnFailed { message: String },
    /// An earlier runner on the same job directory died while it ran; how it ended is not known.
    Lost,
}

impl Cause {
    /// Whether the job's program was ever run.
    pub fn ran(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::SpawnFailed { .. } | Self::Cancelled { ended: None } => {
                false
            }
            Self::Exited { .. }
            | Self::Signalled { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { ended: Some(_) }
            | Self::Interrupted { .. }
            | Self::OomKilled
            | Self::Lost => true,
        }
    }
}

/// How a process ended, as `wait` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

/// What the main process and its waited-for children used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub wall_ms: u64,
    pub cpu_ms: u64,
    /// Of the largest single process.
    pub max_rss_bytes: u64,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("stream", &self.stream)
            .field("offset", &self.offset)
            .field("len", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
