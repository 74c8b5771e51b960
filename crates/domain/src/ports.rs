//! What the handlers need from the world, in our own words.
//!
//! Each port has small errors: the cases that a caller branches on, and `Backend` for all the rest.

mod clock;
mod compute;
mod queue;
mod shell;
mod store;
mod webhooks;
mod workflow;

pub use clock::{Changes, Clock, Ids};
pub use compute::{Compute, RunError, RunTask, StopError};
pub use queue::Queue;
pub use shell::{Attached, CommandEnd, CommandEvent, EndCause, Shell, ShellError, Stream};
pub use store::{
    CommitError, Due, Expect, IdempotentResponse, Page, Quota, Store, Version, Versioned, Write,
};
pub use webhooks::{PostError, Posted, SignedPost, Webhooks};
pub use workflow::{Resume, Workflow};

/// Where an unexpected error came from. Logged whole, once, where it is handled.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The system behind a port failed in a way that no caller can mend; trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct BackendError {
    /// What was tried.
    pub action: &'static str,
    #[source]
    source: BoxError,
}

impl BackendError {
    /// `action` names what was tried, in the form "reading a session".
    pub fn new(action: &'static str, source: impl Into<BoxError>) -> Self {
        Self { action, source: source.into() }
    }
}
