//! Why a request for files fails.

use std::io;

use runner::protocol::files::{DISK_FULL, FileError};
use rustix::io::Errno;

/// A request was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller is told.
    Told(FileError, String),
    /// The caller has gone.
    Lost,
}

impl Failure {
    pub(super) fn new(error: FileError, message: impl Into<String>) -> Self {
        Self::Told(error, message.into())
    }

    /// The same failure, with a message that begins with what it is about.
    pub(super) fn with_subject(self, subject: &str) -> Self {
        match self {
            Self::Told(error, message) => Self::Told(error, format!("{subject}: {message}")),
            Self::Lost => Self::Lost,
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        let (error, message) = match errno {
            Errno::NOENT => (FileError::NotFound, "no such file or directory"),
            Errno::NOTDIR => (FileError::NotADirectory, "a part of the path is not a directory"),
            Errno::ISDIR => (FileError::NotAFile, "it is a directory"),
            Errno::ACCESS | Errno::PERM => (FileError::PermissionDenied, "permission denied"),
            Errno::ROFS => (FileError::PermissionDenied, "the file system is read-only"),
            Errno::NOTEMPTY | Errno::EXIST => (FileError::NotEmpty, "the directory is not empty"),
            Errno::NAMETOOLONG => (FileError::InvalidPath, "the path or a name in it is too long"),
            Errno::LOOP => (FileError::InvalidPath, "too many symbolic links"),
            Errno::INVAL => (FileError::InvalidPath, "the path can't be used for this"),
            Errno::NXIO => (FileError::NotAFile, "it is a special file"),
            Errno::NOSPC | Errno::DQUOT => (FileError::DiskFull, DISK_FULL),
            other => return Self::Told(FileError::Failed, io::Error::from(other).to_string()),
        };
        Self::new(error, message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Self::Told(FileError::Failed, error.to_string()),
        }
    }
}
