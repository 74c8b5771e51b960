//! Reads and changes the files of a task, over a connection that its runner gives to a process.

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::Buf;
use domain::{
    TaskId, Timestamp,
    file::{
        Attributes, FileAction, FileKind, FilePath, FileRefusal, FileReply, FilesDone, ListedFile,
    },
    ports::{BackendError, FileTransfer, Files, FilesError, ShellError},
};
use runner::protocol::{
    Event, Message, ProtocolError, Request,
    files::{self as wire, FrameKind, FromCaller, HEAD_BYTES, MAX_PIECE_BYTES, Reply},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::timeout,
};

use super::{DEFAULT_USER, Dial, Transport};

/// How long either side waits for the other one.
const IDLE: Duration = Duration::from_secs(60);

/// Implements the port [`Files`] over a [`Dial`].
pub struct RunnerFiles<D> {
    dial: D,
}

impl<D: Dial> RunnerFiles<D> {
    /// The files of the tasks that `dial` reaches.
    pub const fn new(dial: D) -> Self {
        Self { dial }
    }
}

#[async_trait]
impl<D: Dial> Files for RunnerFiles<D> {
    async fn open(
        &self,
        task: &TaskId,
        path: &FilePath,
        action: FileAction,
    ) -> Result<Box<dyn FileTransfer>, FilesError> {
        Ok(Box::new(Transfer::of_file(&self.dial, task, path, action).await?))
    }
}

/// What `runner-transfer` has printed: a reply in each line.
///
/// # Errors
/// The last reply says why the request was refused, or the output ends before the last reply.
pub fn printed_replies(printed: &[u8]) -> Result<Vec<FileReply>, FilesError> {
    let lines = printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let replies: Result<Vec<_>, _> = lines
        .map(|line| {
            let reply = wire::decode_message(line).map_err(|_| FilesError::Interrupted)?;
            of_reply(reply)
        })
        .collect();
    let replies = replies?;
    let is_complete = matches!(replies.last(), Some(FileReply::Done(_)));
    if is_complete { Ok(replies) } else { Err(FilesError::Interrupted) }
}

/// A connection that the runner gives to a process.
pub(super) struct Transfer {
    read: ReadHalf<Box<dyn Transport>>,
    write: WriteHalf<Box<dyn Transport>>,
    /// What was received of a frame's head, and of its body.
    head: Vec<u8>,
    body: Vec<u8>,
}

#[async_trait]
impl FileTransfer for Transfer {
    async fn next(&mut self) -> Result<FileReply, FilesError> {
        let (kind, body) = self.receive().await?;
        if kind == FrameKind::Piece {
            return Ok(FileReply::Piece(body));
        }
        of_reply(wire::decode_message(&body).map_err(violated)?)
    }

    async fn ask(&mut self, offset: u64, length: u64) -> Result<(), FilesError> {
        self.message(FromCaller::Send { offset, length }).await
    }

    async fn send(&mut self, piece: &[u8]) -> Result<(), FilesError> {
        for piece in piece.chunks(MAX_PIECE_BYTES) {
            // By one call, so that the process on the other side is not woken by a few bytes.
            self.write(Buf::chain(&wire::piece_head(piece.len())[..], piece)).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), FilesError> {
        self.message(FromCaller::End).await
    }
}

impl Transfer {
    /// Begins what is done with a path.
    pub(super) async fn of_file(
        dial: &impl Dial,
        task: &TaskId,
        path: &FilePath,
        action: FileAction,
    ) -> Result<Self, FilesError> {
        let request = Request::Files(wire::FileRequest {
            user: DEFAULT_USER.to_owned(),
            path: wire::Bytes(path.0.clone()),
            action: to_wire(action),
            idle_ms: u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX),
        });
        Self::open(dial, task, &request).await
    }

    /// Sends a request after which the runner gives the connection away.
    pub(super) async fn open(
        dial: &impl Dial,
        task: &TaskId,
        request: &Request,
    ) -> Result<Self, FilesError> {
        let opened = dial.open(task).await.map_err(|error| match error {
            ShellError::Backend(error) => error.into(),
            ShellError::NotReady | ShellError::Gone | ShellError::NotStarted { .. } => {
                FilesError::Interrupted
            }
        });
        let (read, write) = tokio::io::split(opened?);
        let mut transfer = Self { read, write, head: Vec::new(), body: Vec::new() };
        let frame = request.encode().map_err(violated)?;
        transfer.write(&*frame).await?;
        Ok(transfer)
    }

    /// The next piece or message. An answer of the runner itself is an error.
    pub(super) async fn receive(&mut self) -> Result<(FrameKind, Vec<u8>), FilesError> {
        let (kind, body) = in_time(self.frame()).await?;
        if kind != FrameKind::Event {
            return Ok((kind, body));
        }
        match wire::decode_message(&body).map_err(violated)? {
            Event::Error { retryable: true, .. } => Err(FilesError::TooMany),
            Event::Error { message, .. } => Err(FilesError::Refused(FileRefusal::Failed, message)),
            Event::Ready { .. }
            | Event::Started
            | Event::Output(_)
            | Event::Exited(_)
            | Event::Unknown
            | Event::Ok => Err(violated(ProtocolError::Malformed)),
        }
    }

    async fn message(&mut self, message: FromCaller) -> Result<(), FilesError> {
        let frame = wire::encode_message(&message).map_err(violated)?;
        self.write(&*frame).await
    }

    async fn write(&mut self, mut bytes: impl Buf) -> Result<(), FilesError> {
        in_time(async {
            self.write.write_all_buf(&mut bytes).await?;
            // A transport may gather what is written.
            self.write.flush().await
        })
        .await
    }

    /// The next frame. What was read of it stays if this is dropped.
    async fn frame(&mut self) -> io::Result<(FrameKind, Vec<u8>)> {
        fill(&mut self.read, &mut self.head, HEAD_BYTES).await?;
        let head = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice());
        let head = head.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let (kind, length) = wire::read_head(head).map_err(io::Error::other)?;
        fill(&mut self.read, &mut self.body, length).await?;
        self.head.clear();
        Ok((kind, std::mem::take(&mut self.body)))
    }
}

/// Reads until the buffer has so many bytes.
async fn fill(
    stream: &mut ReadHalf<Box<dyn Transport>>,
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<()> {
    buffer.reserve_exact(length.saturating_sub(buffer.len()));
    while buffer.len() < length {
        let missing = u64::try_from(length - buffer.len()).unwrap_or(u64::MAX);
        if (&mut *stream).take(missing).read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A connection that fails or stalls has lost its process, whatever the reason.
async fn in_time<T>(io: impl Future<Output = io::Result<T>>) -> Result<T, FilesError> {
    match timeout(IDLE, io).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::Other => {
            Err(BackendError::new("receiving files of a shell", error).into())
        }
        Ok(Err(_)) | Err(_) => Err(FilesError::Interrupted),
    }
}

fn violated(error: ProtocolError) -> FilesError {
    BackendError::new("receiving files of a shell", error).into()
}

/// The action as runners know it.
pub const fn to_wire(action: FileAction) -> wire::FileAction {
    match action {
        FileAction::Read => wire::FileAction::Read,
        FileAction::Write { mode } => wire::FileAction::Write { mode },
        FileAction::Remove { recursive } => wire::FileAction::Remove { recursive },
        FileAction::List { depth, limit } => wire::FileAction::List { depth, limit },
        FileAction::Pack { gzip } => wire::FileAction::Pack { gzip },
        FileAction::Unpack { gzip } => wire::FileAction::Unpack { gzip },
    }
}

fn of_reply(reply: Reply) -> Result<FileReply, FilesError> {
    Ok(match reply {
        Reply::Found(found) => FileReply::Found(attributes(found)),
        Reply::Ready => FileReply::Ready,
        Reply::Entries { entries } => FileReply::Entries(entries.into_iter().map(listed).collect()),
        Reply::Done(wire::Done { entries, truncated, created }) => {
            FileReply::Done(FilesDone { entries, truncated, created })
        }
        Reply::Failed { error, message } => {
            return Err(FilesError::Refused(refusal(error), message));
        }
    })
}

fn listed(entry: wire::Entry) -> ListedFile {
    ListedFile {
        path: FilePath(entry.path.0),
        attributes: attributes(entry.attributes),
        target: entry.target.map(|target| FilePath(target.0)),
    }
}

fn attributes(found: wire::Attributes) -> Attributes {
    let wire::Attributes { kind, size, mode, modified: (seconds, nanoseconds), inode } = found;
    let millis = seconds.saturating_mul(1000).saturating_add(i64::from(nanoseconds / 1_000_000));
    Attributes {
        kind: match kind {
            wire::FileKind::File => FileKind::File,
            wire::FileKind::Directory => FileKind::Directory,
            wire::FileKind::Symlink => FileKind::Symlink,
            wire::FileKind::Other => FileKind::Other,
        },
        size,
        mode,
        modified_at: Timestamp::from_millis(millis),
        version: format!("{inode:x}-{size:x}-{seconds:x}-{nanoseconds:x}"),
    }
}

const fn refusal(error: wire::FileError) -> FileRefusal {
    match error {
        wire::FileError::NotFound => FileRefusal::NotFound,
        wire::FileError::NotAFile => FileRefusal::NotAFile,
        wire::FileError::NotADirectory => FileRefusal::NotADirectory,
        wire::FileError::PermissionDenied => FileRefusal::PermissionDenied,
        wire::FileError::NotEmpty => FileRefusal::NotEmpty,
        wire::FileError::InvalidPath => FileRefusal::InvalidPath,
        wire::FileError::DiskFull => FileRefusal::DiskFull,
        wire::FileError::InvalidArchive => FileRefusal::InvalidArchive,
        wire::FileError::NoUpload => FileRefusal::NoUpload,
        wire::FileError::NotTransferred => FileRefusal::NotTransferred,
        wire::FileError::Failed => FileRefusal::Failed,
    }
}

impl<D> std::fmt::Debug for RunnerFiles<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerFiles").finish_non_exhaustive()
    }
}
