//! Files of a shell, as requests name them and as their shell shows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{JobId, SessionId, Timestamp, UploadId};

/// A path inside of a shell. Relative ones count from the home directory. Names may have any bytes. `Debug`
/// prints only the length, as names may be secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "PathRecord", into = "PathRecord")]
pub struct FilePath(pub Vec<u8>);

/// A path in a record: text where it is UTF-8, which is smaller.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathRecord {
    Text(String),
    Bytes(Vec<u8>),
}

/// What a job does with the files of its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileJob {
    pub path: FilePath,
    pub action: FileAction,
    /// The upload whose bytes are written or unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
}

/// The name of the object of an upload, which only its own session can use.
pub fn uploaded(session: SessionId, upload: UploadId) -> String {
    format!("{session}/{upload}")
}

/// A small file that a start request asks for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    /// As of a [`FilePath`], but text.
    pub path: String,
    /// Permission bits; those of the replaced file, or 0644, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The content in base64, which is smaller in a record than a list of numbers.
    pub base64: String,
}

/// What is done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    /// Tells [`FileReply::Found`], then sends the part that [`FileTransfer::ask`] names.
    ///
    /// [`FileTransfer::ask`]: crate::ports::FileTransfer::ask
    Read,
    /// Replaces or creates a file, with its parent directories: [`FileReply::Ready`], then
    /// [`FileReply::Found`] after all pieces. An upload that breaks leaves the old file.
    Write {
        /// Permission bits; those of the replaced file, or 0644, if absent.
        mode: Option<u32>,
    },
    /// Removes a file or a directory.
    Remove {
        /// Whether a directory is removed with its content.
        recursive: bool,
    },
    /// Lists a directory.
    List {
        /// 1 lists the directory, 2 its directories too, and so on.
        depth: u32,
        /// The most entries.
        limit: u32,
    },
    /// Sends a tar archive of a file or of the content of a directory.
    Pack { gzip: bool },
    /// Unpacks a tar archive into a directory, which is created if it does not exist.
    Unpack { gzip: bool },
}

/// What a shell answers during a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReply {
    /// The attributes of the file that is sent, or that was written.
    Found(Attributes),
    /// The pieces may be sent, or follow.
    Ready,
    /// Some entries of a list.
    Entries(Vec<ListedFile>),
    /// The next piece of a file or an archive.
    Piece(Vec<u8>),
    /// Everything was done. Nothing follows.
    Done(FilesDone),
}

/// How a request was carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilesDone {
    /// Number of entries of a list or an archive.
    pub entries: u64,
    /// Whether a list has left out entries beyond its limit.
    pub truncated: bool,
    /// Whether a file was created that did not exist before.
    pub created: bool,
}

/// The attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// When the content was changed last.
    pub modified_at: Timestamp,
    /// Letters, digits and hyphens that change with each new content that the file system can tell from the
    /// one before.
    pub version: String,
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    /// A pipe, a socket or a device.
    Other,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// From the listed directory.
    pub path: FilePath,
    pub attributes: Attributes,
    /// The target of a symbolic link.
    pub target: Option<FilePath>,
}

impl ListedFile {
    /// The bytes of its path and of its target.
    pub fn bytes(&self) -> usize {
        self.path.0.len() + self.target.as_ref().map_or(0, |target| target.0.len())
    }
}

/// Why a shell refuses a request for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRefusal {
    NotFound,
    /// A directory, or a special file, where a file is needed.
    NotAFile,
    NotADirectory,
    PermissionDenied,
    /// A directory that has content is to be removed, but not its content.
    NotEmpty,
    InvalidPath,
    /// The disk of the shell is full.
    DiskFull,
    InvalidArchive,
    /// The object with the bytes does not exist: nothing was uploaded, or it was removed.
    NoUpload,
    /// The bytes could not be moved to or from the place where they wait.
    NotTransferred,
    /// Anything else.
    Failed,
}

impl From<PathRecord> for FilePath {
    fn from(record: PathRecord) -> Self {
        Self(match record {
            PathRecord::Text(text) => text.into_bytes(),
            PathRecord::Bytes(bytes) => bytes,
        })
    }
}

impl From<FilePath> for PathRecord {
    fn from(FilePath(bytes): FilePath) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

impl FileJob {
    /// Drops the path, which may be secret.
    pub fn clear(&mut self) {
        self.path = FilePath(Vec::new());
    }

    /// The name of the object with the bytes: of this job of a session, or of the upload.
    pub fn object(&self, session: SessionId, job: JobId) -> String {
        match self.upload {
            Some(upload) => uploaded(session, upload),
            None => format!("{session}/{job}"),
        }
    }

    /// Whether the bytes leave the shell.
    pub const fn is_download(&self) -> bool {
        matches!(self.action, FileAction::Read | FileAction::Pack { .. })
    }
}

impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewFile").finish_non_exhaustive()
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a path of {} bytes", self.0.len())
    }
}
