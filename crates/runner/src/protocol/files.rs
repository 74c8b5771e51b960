//! What is said on a connection after [`Request::Files`](super::Request::Files): the runner has given the
//! connection to a process that runs as the user of the request.
//!
//! Both sides send frames as described in [`super::codec`], of two kinds. A piece has raw bytes: of a file,
//! or of an archive. A message is JSON: [`FromCaller`] or [`Reply`]. The caller sends nothing before the
//! first reply. A process that reads no whole frame for `idle_ms` ends, and removes what it has not finished.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use super::bytes::Bytes;
use super::codec::{LENGTH_BYTES, json, parse};
use super::{MAX_FRAME_BYTES, ProtocolError};

/// The most bytes of a piece.
pub const MAX_PIECE_BYTES: usize = 256 << 10;
/// The most entries of one [`Reply::Entries`].
pub const MAX_ENTRIES: usize = 64;
/// Length of what precedes the body of a frame: the length of the rest, and the kind.
pub const HEAD_BYTES: usize = LENGTH_BYTES + 1;

/// Reads or changes files. Symbolic links in the path are followed, with the rights of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequest {
    /// As in [`super::Start`].
    pub user: String,
    /// Counts from the user's home directory unless it is absolute.
    pub path: Bytes,
    pub action: FileAction,
    /// Milliseconds without progress after which the process ends.
    pub idle_ms: u64,
}

/// What is done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum FileAction {
    /// Answered by `Found`; after `Send` by pieces and `Done`.
    Read,
    /// Replaces or creates a file, with its parent directories. Answered by `Ready`; after pieces and `End`
    /// by `Found` and `Done`. Before that the old file is left as it is.
    Write {
        /// Permission bits; those of the replaced file, or 0644, if absent.
        mode: Option<u32>,
    },
    /// Answered by `Done`.
    Remove {
        /// Whether a directory is removed with its content.
        recursive: bool,
    },
    /// Answered by any number of `Entries`, and `Done`.
    List {
        /// 1 lists the directory, 2 its directories too, and so on.
        depth: u32,
        limit: u32,
    },
    /// Makes a tar archive of a file, or of the content of a directory. Answered by `Ready`, pieces and
    /// `Done`.
    Pack { gzip: bool },
    /// Unpacks a tar archive into a directory, which is created if it does not exist. Answered by `Ready`;
    /// after pieces and `End` by `Done`.
    Unpack { gzip: bool },
}

/// A message of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromCaller {
    /// Asks for this part of the file that was found.
    Send { offset: u64, length: u64 },
    /// No piece follows: the bytes are complete.
    End,
}

/// A message of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Found(Attributes),
    Ready,
    Entries {
        entries: Vec<Entry>,
    },
    /// The request was carried out. Nothing follows.
    Done(Done),
    /// The request failed. Nothing follows.
    Failed {
        error: FileError,
        message: String,
    },
}

/// How a request was carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Number of entries of a list or an archive.
    pub entries: u64,
    /// Whether a list has left out entries beyond its limit.
    pub truncated: bool,
    /// Whether a file was created that did not exist before.
    pub created: bool,
}

/// Attributes of a file, as stat(2) gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub kind: FileKind,
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Time of the last change of the content: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    pub inode: u64,
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    /// A pipe, a socket or a device.
    Other,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From the listed directory.
    pub path: Bytes,
    pub attributes: Attributes,
    /// The target of a symbolic link.
    pub target: Option<Bytes>,
}

/// What a user is told with [`FileError::DiskFull`].
pub const DISK_FULL: &str = "the disk of the shell has no room for more bytes or files";

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileError {
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
    /// Of `runner-transfer` only: there is no object with the bytes.
    NoUpload,
    /// Of `runner-transfer` only: the bytes could not be moved to or from their object.
    NotTransferred,
    /// Anything else.
    Failed,
}

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An answer of the runner itself, which had no process to give the connection to: an [`super::Event`].
    Event,
    Piece,
    Message,
}

impl FrameKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Event => super::codec::CONTROL,
            Self::Piece => 4,
            Self::Message => 5,
        }
    }
}

/// What precedes a body of this many bytes, which must be at most [`MAX_PIECE_BYTES`].
pub fn piece_head(length: usize) -> [u8; HEAD_BYTES] {
    head(FrameKind::Piece, u32::try_from(length).unwrap_or(u32::MAX))
}

fn head(kind: FrameKind, length: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = length.saturating_add(1).to_be_bytes();
    [a, b, c, d, kind.byte()]
}

/// The kind of a frame, and the length of its body.
///
/// # Errors
/// The frame is too long or of another kind.
pub fn read_head(head: [u8; HEAD_BYTES]) -> Result<(FrameKind, usize), ProtocolError> {
    let [a, b, c, d, byte] = head;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(ProtocolError::TooLong(length));
    }
    let kinds = [FrameKind::Event, FrameKind::Piece, FrameKind::Message];
    let kind = kinds.into_iter().find(|kind| kind.byte() == byte);
    let kind = kind.ok_or(ProtocolError::UnknownKind(byte))?;
    Ok((kind, length.checked_sub(1).ok_or(ProtocolError::Empty)?))
}

/// A message as a whole frame.
///
/// # Errors
/// [`ProtocolError::TooLong`].
pub fn encode_message(message: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    let body = json(message)?;
    let length = u32::try_from(body.len()).map_err(|_| ProtocolError::TooLong(body.len()))?;
    if body.len() >= MAX_FRAME_BYTES {
        return Err(ProtocolError::TooLong(body.len()));
    }
    Ok([&head(FrameKind::Message, length), body.as_slice()].concat())
}

/// The message in the body of a frame.
///
/// # Errors
/// [`ProtocolError::Malformed`].
pub fn decode_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    parse(body)
}
