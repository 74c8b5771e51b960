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

/// What an execution that waits is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// What it waits for has come. The text is a JSON object, the output of its state.
    Output(&'a str),
    /// Its state fails with the error of this name, which decides the next state.
    Error(&'a str),
}

/// Starts and resumes executions.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Starts the execution of a session. Safe to repeat: a session has one execution.
    async fn start(&self, session: SessionId) -> Result<(), BackendError>;
    /// Resumes the execution that waits with this task token.
    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError>;
}
