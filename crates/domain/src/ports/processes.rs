//! Listing and signalling the processes of a task's commands.

use async_trait::async_trait;

use super::BackendError;
use crate::{
    TaskId,
    process::{ProcessId, ProcessList},
};

/// Why a request for processes failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessesError {
    /// No process of a command has this pid, or it was started at another time.
    #[error("there is no such process")]
    NoSuchProcess,
    /// The shell refuses it; the message says why.
    #[error("{0}")]
    Refused(String),
    /// The shell has as many requests as it may have; try again later.
    #[error("the shell has too many requests for files and processes at once")]
    TooMany,
    /// The shell does not answer, or has ended.
    #[error("the shell ended the request")]
    Interrupted,
    /// Anything else.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Lists and signals the processes of commands: never those that the shell itself consists of.
#[async_trait]
pub trait Processes: Send + Sync {
    async fn list(&self, task: &TaskId) -> Result<ProcessList, ProcessesError>;

    /// Sends a signal to one process.
    async fn signal(
        &self,
        task: &TaskId,
        process: ProcessId,
        signal: i32,
    ) -> Result<(), ProcessesError>;
}
