//! Work under way: a handler or a request, polled by hand and perhaps dropped in the middle.

use std::pin::Pin;

use asl::TaskRef;
use domain::{SessionId, Timestamp, message::Message};
use handlers::HandlerError;
use serde_json::Value;

/// A message on its way, and how often it was tried.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) message: Message,
    pub(crate) due: Timestamp,
    pub(crate) tries: u32,
}

/// Why something runs.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    Message(Mail),
    State(TaskRef),
    /// Closes a session whose execution failed.
    Close(SessionId),
    /// The request with this number.
    Request(usize),
    Sweep,
}

/// What came of it.
pub(crate) enum Done {
    Handler(Result<Value, HandlerError>),
    Http { status: u16, body: Value },
}

/// Something that runs.
pub(crate) struct Hand {
    pub(crate) why: Why,
    /// It does nothing before this step: a slow network, a paused machine.
    pub(crate) asleep_until: u64,
    pub(crate) future: Pin<Box<dyn Future<Output = Done> + Send>>,
}
