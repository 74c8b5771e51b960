//! The executions that drive sessions.

use async_trait::async_trait;

use super::BackendError;
use crate::{Secret, SessionId};

/// What came of answering a task token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The execution goes on.
    Resumed,
    /// No execution waits with this token any more. Harmless: the answer came twice or late.
    NotWaiting,
}

/// Starts executions and wakes them.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Begins the execution of a session. Safe to repeat: there is one for each session.
    async fn start(&self, session: SessionId) -> Result<(), BackendError>;
    /// Answers the task that waits with this token. `output` is a JSON object.
    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError>;
}
