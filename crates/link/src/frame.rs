//! The frames. Each is one text message with one JSON object, and states a fact that can be repeated.

pub use runner::protocol::Bytes;
use runner::protocol::{Exit, Offsets, Stream};
use serde::{Deserialize, Serialize};

/// The length of the longest frame in bytes: the limit of a message of API Gateway
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>).
pub const MAX_FRAME_BYTES: usize = 128 << 10;
/// The header of the upgrade request in which the runner names its task.
pub const TASK_HEADER: &str = "x-ephemeral-task";
/// The header of the upgrade request with the number of the attempt to connect. It rises with each attempt of a
/// task, so that the service can tell which of two connections is the later one.
pub const ATTEMPT_HEADER: &str = "x-ephemeral-attempt";

/// The variable of a task that names the service to which its runner connects: `wss://…`, or `ws://…` in tests.
pub const URL_VARIABLE: &str = "EPHEMERAL_LINK_URL";
/// The variable of a task with the token of its runner's first connection.
pub const TOKEN_VARIABLE: &str = "EPHEMERAL_LINK_TOKEN";

/// A frame of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FromRunner {
    /// The first frame of a connection: the jobs whose reports are under way or will come by themselves.
    /// Answered by [`ToRunner::Token`], and repeated until then.
    Hello { jobs: Vec<String> },
    /// The request with this id was carried out, or never can be: a signal for a job that is over. Not
    /// answered; the service repeats the request on the next connection if it did not come.
    Done { id: String },
    /// Answered by [`ToRunner::Stored`], and repeated until then.
    Report(Report),
}

/// A frame to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ToRunner {
    /// A part of the request to start a job, in the runner's own protocol. Parts with one `id` are one request.
    /// A job that was started before is reported on instead.
    Run { job: String, id: String, part: usize, of: usize, data: Bytes },
    /// All output before these offsets is stored. `over` says that the job's end is on record too, or that
    /// the service does not want it: the runner may forget its output.
    Stored { job: String, stdout: u64, stderr: u64, over: bool },
    /// A signal for a job's command. Two frames with one `id` are one signal. Answered by [`FromRunner::Done`],
    /// as are the two next.
    Signal { job: String, id: String, signal: i32 },
    /// Ends a job's command; one that was not started yet never will be.
    Cancel { job: String, id: String },
    /// The task ends by itself some seconds after this many milliseconds.
    #[serde(rename_all = "camelCase")]
    Deadline { id: String, after_ms: u64 },
    /// The token of the next connection.
    Token { token: String },
}

/// What became of a job since the service last stored something of it. An empty report says that it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub job: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<Piece>,
    /// The job's end, once it is over and all of its output before that is in `output` or was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Box<End>>,
}

/// A piece of a job's output. `Debug` prints only its position and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub stream: Stream,
    /// Where the output before this piece ended. Less than `offset` at the gap of output that was cut.
    pub from: u64,
    /// The offset of the first byte.
    pub offset: u64,
    pub data: Bytes,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub exit: Exit,
    /// Where the output ends that was kept.
    pub at: Offsets,
}

impl Piece {
    /// The offset behind the last byte.
    pub const fn end(&self) -> u64 {
        self.offset + self.data.0.len() as u64
    }
}

#[cfg(test)]
mod tests;
