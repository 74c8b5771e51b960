//! Requests to the runner, its events, and the frames that carry them.
//!
//! A connection carries any number of requests, answered in order. `Start` and `Attach` make the
//! connection follow one job: `Started`, `Output`..., `Exited`. While a connection follows a job, its
//! other requests are still answered, between two of the job's events; a second `Start` or `Attach` is
//! answered by `Error`. Several connections may follow one job; each receives all of its events at its
//! own pace.

use std::fmt;

use serde::{Deserialize, Serialize};

mod bytes;
mod codec;
pub mod files;
pub mod marks;
pub mod processes;

pub use bytes::Bytes;
pub use codec::{Decoder, MAX_FRAME_BYTES, Message, ProtocolError};

/// Increased when a frame changes so that an older peer would misread it. Added fields that an older
/// peer may ignore, and that have a default, leave it as it is.
pub const PROTOCOL_VERSION: u32 = 1;

/// How many jobs a runner runs at once; it refuses more for the time being.
pub const MAX_RUNNING: usize = 96;
/// How many shells of [`Start::shell`] a runner has at once.
pub const MAX_SHELLS: usize = 16;
/// How many processes of [`Request::Files`] and [`Request::Processes`] a runner has at once; it refuses more
/// for the time being.
pub const MAX_TRANSFERS: usize = 8;
/// The variable of the runner's environment that stands for its option `--lifetime-ms`, in seconds, where
/// only the environment can be chosen, as in a task of AWS Fargate.
pub const LIFETIME_VARIABLE: &str = "EPHEMERAL_LIFETIME_SECONDS";

/// A caller's request to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Runs a job and follows it. If the runner has seen the job id before, follows that job instead: a
    /// job id never runs twice.
    Start(Start),
    /// Follows a job from the given offsets. Answered by `Unknown` if the runner has never seen the id.
    Attach { job_id: String, from: Offsets },
    /// Sends a signal to the job's process group. `Ok`, `Unknown`, or `Error` if it has ended.
    Signal { job_id: String, signal: i32 },
    /// Sends SIGTERM to the job's process group, and SIGKILL 5 s later. Always answered by `Ok`: a job
    /// that has ended is not changed, and an unknown id is remembered, so that a later `Start` with
    /// this id never runs it.
    Cancel { job_id: String },
    /// Deletes the job's output, because the caller has stored it elsewhere; the id and its exit stay
    /// known. Answered by `Ok`, `Unknown`, or `Error` if the job still runs.
    Release { job_id: String },
    /// The runner shuts down some seconds after this many milliseconds, unless another request moves that
    /// again. Answered by `Ok`. It replaces `--lifetime-ms`.
    SetDeadline { after_ms: u64 },
    /// Answered by `Ready` as soon as the runner accepts jobs.
    Probe,
    /// Opens the terminal of a job that was started with one: the connection follows the job from the
    /// given offset of its output, or from the oldest byte that is still kept, and may send `Input` and
    /// `Resize`. Answered by `Unknown`, or by `Error` if the job has no terminal.
    Terminal { job_id: String, from: u64 },
    /// Bytes typed into the terminal that the connection has opened. Answered only by `Error`. The frame
    /// carries the bytes as they are.
    #[serde(skip)]
    Input(Input),
    /// Changes the size of the terminal that the connection has opened. Answered only by `Error`.
    Resize { cols: u16, rows: u16 },
    /// Gives the connection to a new process of the user, which reads or changes files; see [`files`].
    /// Answered by `Error` if no process can be started; `retryable` if too many of them run.
    Files(files::FileRequest),
    /// Gives the connection to a new process, which lists or signals processes of commands; see
    /// [`processes`]. Answered by `Error` as `Files` is.
    Processes(processes::ProcessRequest),
}

/// A job to run. `Debug` prints neither the command nor its environment or input, which may hold
/// secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub job_id: String,
    /// The program, looked up in `PATH`, and its arguments; `["sh", "-c", command]` for a shell line.
    /// With a terminal, an empty list means the user's login shell.
    pub argv: Vec<String>,
    /// The working directory; `None` is the user's home, or `/` if that does not exist. If a directory
    /// is given and can't be entered, the job ends as `SpawnFailed`.
    pub cwd: Option<String>,
    /// Whether `argv` is a command line for `sh` that bash runs instead, where the image has bash.
    #[serde(default)]
    pub prefer_bash: bool,
    /// Variables added to the runner's default environment; they override it.
    pub env: Vec<(String, String)>,
    /// The name of any user in the image's `/etc/passwd` except root.
    pub user: String,
    /// The command's standard input, followed by end of file. The frame carries it as raw bytes after
    /// the JSON.
    #[serde(skip)]
    pub stdin: Vec<u8>,
    /// Milliseconds from the start of the command until SIGTERM; SIGKILL follows 5 s later.
    pub timeout_ms: u64,
    /// Largest number of bytes kept of each stream; further bytes are counted and dropped.
    pub max_output_bytes: u64,
    /// Which bytes are kept of a stream that is longer than that.
    #[serde(default)]
    pub keep: Keep,
    /// Whether stdout and stderr are one stream, in the order of the writes, sent as stdout.
    #[serde(default)]
    pub merge: bool,
    /// Whether marks are wanted of merged output: what follows which of them was written to stdout, and what to
    /// stderr. They are sent as stderr, encoded as in [`marks`]; none come where the runner can't tell. Without
    /// meaning in a shell.
    #[serde(default)]
    pub marks: bool,
    /// Whether processes that still run when the main process ends are left running. By default they
    /// are ended with the job.
    #[serde(default)]
    pub background: bool,
    /// The name of the shell in which `argv`, which must be a shell line, runs, so that it finds what earlier
    /// lines have changed there: variables, the working directory, and so on. The runner starts that shell if
    /// it has none of the name; `cwd` and `env` are for that shell then, and else ignored. Processes that a
    /// line leaves running stay, as with `background`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Where to follow from, if the runner has seen the job before.
    pub from: Offsets,
    /// Runs the job on a terminal instead of pipes. `stdin`, `keep`, `merge` and `marks` have no meaning then:
    /// input comes by [`Request::Input`], and of the output, all of it stdout, the last `max_output_bytes`
    /// are kept.
    /// Connections that have opened the terminal receive it as it comes, others after the job's end.
    #[serde(default)]
    pub terminal: Option<Terminal>,
}

/// Bytes typed into a terminal. `Debug` prints only their number, because they may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Input(pub Vec<u8>);

/// The terminal of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Width in characters.
    pub cols: u16,
    /// Height in characters.
    pub rows: u16,
    /// Milliseconds without a connection that has opened the terminal, after which the job ends as
    /// `TimedOut`; `None` to wait for ever.
    pub idle_ms: Option<u64>,
    /// Largest size of a recording of what the terminal shows, as an asciicast of version 2, which is sent as
    /// stderr while the job runs; `None` for no recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_bytes: Option<u64>,
}

/// Which bytes are kept of an output stream that exceeds its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first bytes. They are sent while the job runs.
    #[default]
    Head,
    /// The last bytes. They are sent after the job's end, before `Exited`.
    Tail,
    /// Half of the limit from the start of the stream, sent while the job runs, and half from its end,
    /// sent before `Exited`. The offset of an [`Output`] shows the gap between both.
    Both,
}

/// Number of bytes of each stream that the caller already has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    pub stdout: u64,
    pub stderr: u64,
}

/// An answer or a report of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Answer to `Probe`.
    Ready { version: String, protocol: u32 },
    /// The job's program runs or has run. Not sent if the job ended without ever running.
    Started,
    /// A piece of the kept output. The pieces of one stream arrive in order.
    #[serde(skip)]
    Output(Output),
    /// The job's end, sent after all of its kept output.
    Exited(Exit),
    /// This runner has never seen the job id.
    Unknown,
    /// The request was carried out.
    Ok,
    /// The request had no effect. After a failed `Start` nothing ran and the id is still unknown. If
    /// `retryable`, the cause (too few processes, too little memory or disk) may be temporary and the
    /// request may be sent again.
    Error { message: String, retryable: bool },
}

/// A piece of kept output. `Debug` prints only its position and size.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    pub stream: Stream,
    /// Offset of the first byte from the start of the stream.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The final result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub cause: Cause,
    pub stdout: Total,
    pub stderr: Total,
    pub usage: Usage,
    /// Number of processes that still ran when the main process ended. They were killed, unless the job
    /// allowed `background` processes.
    #[serde(default)]
    pub leftover: u32,
    /// The first of the processes that were left running, if the job allowed `background` processes.
    #[serde(default)]
    pub background: Vec<Process>,
    /// What became of the shell of a job that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<ShellUse>,
}

impl Exit {
    /// The result of a job that did not run.
    pub fn not_run(cause: Cause) -> Self {
        Self {
            cause,
            stdout: Total::default(),
            stderr: Total::default(),
            usage: Usage::default(),
            leftover: 0,
            background: Vec::new(),
            shell: None,
        }
    }
}

/// The shell of a job with a [`Start::shell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellUse {
    /// Whether it was started for this job.
    pub is_new: bool,
    /// Whether it has ended with this job, so that the next one with its name gets another shell.
    pub has_ended: bool,
}

/// A process that was left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid inside the shell.
    pub pid: i32,
    /// The beginning of its command line.
    pub command: String,
}

/// The final size of one output stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Bytes written by the job, including those that were dropped.
    pub bytes: u64,
    /// Bytes kept; less than `bytes` if the limit or a full disk truncated the stream.
    pub kept: u64,
    /// How many of the kept bytes are the end of a truncated stream; the others are its beginning.
    #[serde(default)]
    pub tail: u64,
}

impl Total {
    /// Whether bytes of the stream were dropped.
    pub fn truncated(self) -> bool {
        self.kept < self.bytes
    }

    /// How many of the kept bytes are the beginning of the stream.
    pub fn head(self) -> u64 {
        self.kept - self.tail
    }
}

/// Why a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The command exited by itself.
    Exited { code: i32 },
    /// A signal ended the command that was not sent because of its timeout, a cancel or a shutdown.
    Signalled { signal: i32 },
    /// The timeout passed; `ended` is how the process ended after the signal.
    TimedOut { ended: Ended },
    /// The job was cancelled; `None` if it had not been started and now never will be.
    Cancelled { ended: Option<Ended> },
    /// The runner was stopped while the job ran.
    Interrupted { ended: Ended },
    /// The kernel's out-of-memory killer ended the job.
    OomKilled,
    /// The program does not exist.
    NotFound { message: String },
    /// The command could not be started as requested: unknown user or directory, root, not executable.
    SpawnFailed {
        message: String,
        /// Whether the program exists but can't be executed, for which shells use the exit code 126.
        #[serde(default)]
        not_executable: bool,
    },
    /// An earlier runner on the same job directory died while the job ran; how the job ended is
    /// unknown.
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

/// How a process ended, as reported by wait(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

/// Resources used by the job's main process and those of its descendants that were waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub wall_ms: u64,
    pub cpu_ms: u64,
    /// Peak resident set size of the largest single process.
    pub max_rss_bytes: u64,
    /// Peak memory of all processes of the job together, including page cache; `None` without a cgroup
    /// of the job.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
    /// Number of the job's processes that the kernel's out-of-memory killer killed; `None` if the runner
    /// can't tell because the job has no cgroup.
    #[serde(default)]
    pub oom_kills: Option<u64>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("len", &self.0.len()).finish()
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
