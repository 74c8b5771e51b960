//! Work in flight: a handler or a request whose future is polled by hand and may be dropped at any
//! await.

use std::pin::Pin;

use asl::TaskRef;
use domain::{JobId, SessionId, TaskId, Timestamp, message::Message, ports::Report};
use handlers::{HandlerError, Recorded};
use serde_json::Value;

/// A queued message, and how often its delivery was attempted.
#[derive(Debug, Clone)]
pub(crate) struct PendingMessage {
    pub(crate) message: Message,
    pub(crate) due: Timestamp,
    pub(crate) attempts: u32,
}

/// What a runner says, on its way.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Report(TaskId, Report),
    Connected(TaskId, Vec<JobId>),
}

/// What a future works on.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    Message(PendingMessage),
    State(TaskRef),
    /// Closes a session whose execution failed.
    CloseSession(SessionId),
    /// The request with this number.
    Request(usize),
    /// A report of this job's runner.
    Report(TaskId, JobId),
    /// A runner has connected.
    Connected,
    Sweep,
}

/// The result of a future.
pub(crate) enum Completion {
    Handler(Result<Value, HandlerError>),
    Http { status: u16, body: Value },
    Reported(Result<Recorded, HandlerError>),
}

/// A future that has not completed.
pub(crate) struct InFlight {
    pub(crate) purpose: Purpose,
    /// The future is not polled before this step, as behind a slow network.
    pub(crate) paused_until: u64,
    pub(crate) future: Pin<Box<dyn Future<Output = Completion> + Send>>,
}
