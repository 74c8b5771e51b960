//! Reading and changing the files of a task.

use async_trait::async_trait;

use super::BackendError;
use crate::{
    TaskId, UserId,
    file::{FileAction, FilePath, FileRefusal, FileReply},
};

/// Why a request for files failed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The shell refuses it; the message says why.
    #[error("{1}")]
    Refused(FileRefusal, String),
    /// The shell, or the server with [`Zstd`], has as many transfers as it may have; try again later.
    #[error("too many transfers of files at once")]
    TooMany,
    /// The shell does not answer, or has ended during the transfer.
    #[error("the shell ended the transfer")]
    Interrupted,
    /// Anything else.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A request for files that is carried out. Dropping it ends it: what is not complete is undone.
#[async_trait]
pub trait FileTransfer: Send {
    /// The next reply. Cancel-safe: a dropped call loses nothing.
    async fn next(&mut self) -> Result<FileReply, FilesError>;
    /// Asks for a part of the file that was found.
    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError>;
    /// Sends a piece of a file or of an archive. Waits while the shell has too much of it.
    ///
    /// # Errors
    /// After an error, [`FileTransfer::next`] tells why.
    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError>;
    /// Sends the end of the pieces: what was sent is complete.
    async fn finish(&mut self) -> Result<(), FilesError>;
}

/// Reads and changes the files of tasks, with the rights of their commands.
#[async_trait]
pub trait Files: Send + Sync {
    /// Starts a request. It may fail at the first call of [`FileTransfer::next`] too.
    async fn open(
        &self,
        task: &TaskId,
        path: &FilePath,
        action: FileAction,
    ) -> Result<Box<dyn FileTransfer>, FilesError>;
}

/// Compresses archives by zstd on their way between clients and shells, which don't know it. It holds a
/// bounded part of each. Beyond as many transfers of a user, or of all, as it may have at once, it answers
/// [`FilesError::TooMany`].
pub trait Zstd: Send + Sync {
    /// The transfer, whose pieces from the shell are compressed.
    fn compress(
        &self,
        user: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError>;

    /// The transfer, whose pieces to the shell are decompressed first. What is not zstd is refused as
    /// [`FileRefusal::InvalidArchive`].
    fn decompress(
        &self,
        user: &UserId,
        transfer: Box<dyn FileTransfer>,
    ) -> Result<Box<dyn FileTransfer>, FilesError>;
}
