//! The ports: what the handlers need from the outside, as traits with types of this crate alone.
//!
//! The error type of a port has the cases that callers distinguish, and `Backend` for all others.

mod clock;
mod compute;
mod files;
mod processes;
mod queue;
mod shell;
mod store;
mod transfers;
mod webhooks;
mod workflow;

pub use clock::{Changes, Clock, Ids};
pub use compute::{Compute, RunError, RunTask, StopError};
pub use files::{FileTransfer, Files, FilesError, Zstd};
pub use processes::{Processes, ProcessesError};
pub use queue::Queue;
pub use shell::{
    Attached, CommandEnd, CommandEvent, CommandStart, EndCause, Report, ReportedEnd,
    ReportedOutput, Shell, ShellError, Stream,
};
pub use store::{
    CommitError, Due, Expect, IdempotentResponse, Page, QueueLimits, Quota, RunLimits,
    StorageLimits, Store, Version, Versioned, Write,
};
pub use transfers::{TransferUrl, Transfers};
pub use webhooks::{PostError, Posted, SignedPost, Webhooks};
pub use workflow::{Answer, Resume, Workflow};

/// The source of an unexpected error. It is logged with its whole chain once, where it is handled.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The system behind a port failed. The caller can do nothing but try again later.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct BackendError {
    /// What failed, for example "reading a session".
    pub action: &'static str,
    #[source]
    source: BoxError,
}

impl BackendError {
    /// An error of this action, which is written as in "reading a session".
    pub fn new(action: &'static str, source: impl Into<BoxError>) -> Self {
        Self { action, source: source.into() }
    }
}
