//! The executions of the state machine, which drive the sessions.

use async_trait::async_trait;

use super::BackendError;
use crate::{Secret, SessionId};

/// What came of answering a task token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The execution was resumed.
    Resumed,
    /// No execution waits with this token any more. Harmless: the answer came twice or late.
    NotWaiting,
}

/// Starts and resumes executions.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Starts the execution of a session. Safe to repeat: a session has one execution.
    async fn start(&self, session: SessionId) -> Result<(), BackendError>;
    /// Resumes the execution that waits with this task token. `output` is a JSON object.
    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError>;
}
