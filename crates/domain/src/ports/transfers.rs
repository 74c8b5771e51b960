//! The place where the bytes of files wait between a client and a shell, in deployments whose API can't pass
//! them on.

use async_trait::async_trait;

use super::{BackendError, FilesError};
use crate::{
    Secret, Timestamp,
    command::Command,
    file::{FileJob, FileReply},
};

/// The permission to put or to get one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferUrl {
    /// Whoever has it may use it.
    pub url: Secret<String>,
    /// When it stops being valid. A transfer that has begun goes on.
    pub expires_at: Timestamp,
}

/// Hands out permissions for objects, and tells a shell what to do with them. An object is private, and is
/// removed after a day.
#[async_trait]
pub trait Transfers: Send + Sync {
    /// Lets a client put an object of exactly this many bytes.
    async fn put_url(&self, object: &str, bytes: u64) -> Result<TransferUrl, BackendError>;
    /// Lets a client get an object.
    async fn get_url(&self, object: &str) -> Result<TransferUrl, BackendError>;
    /// The command as it is sent to a shell, which moves the bytes of this object. Its input has a new
    /// permission for the object, so it must not be stored.
    async fn command(
        &self,
        command: &Command,
        job: &FileJob,
        object: &str,
    ) -> Result<Command, BackendError>;
    /// What such a command has printed.
    ///
    /// # Errors
    /// `Refused` if the shell has refused the request; `Interrupted` if the output is not complete.
    fn replies(&self, printed: &[u8]) -> Result<Vec<FileReply>, FilesError>;
}
