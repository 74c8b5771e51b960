//! The process that reads and changes the files.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::Stdio,
};

use bytes::Buf;
use link::Order;
use runner::protocol::files::{
    FileRequest, FrameKind, FromCaller, HEAD_BYTES, MAX_PIECE_BYTES, Reply, decode_message,
    encode_message, piece_head, read_head,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
};

use crate::TransferError;

/// The program, in the directory of this one.
const PROGRAM: &str = "runner";
/// How long the process waits for this one, which waits for the store of objects. Milliseconds.
const IDLE_MS: u64 = 120_000;

/// The process, and the connection to it. It ends, and removes what is not complete, when this is dropped.
#[derive(Debug)]
pub(crate) struct Files {
    stream: UnixStream,
    /// Reaped by the runner of the shell if it outlives this program.
    _process: Child,
}

/// What the process has sent.
#[derive(Debug)]
pub(crate) enum Frame {
    Piece(Vec<u8>),
    Reply(Reply),
}

impl Files {
    /// Starts the process with the request of the order.
    pub(crate) async fn open(order: &Order) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let program = std::env::current_exe()?.with_file_name(PROGRAM);
        let mut command = Command::new(program);
        command.arg("--files").stdin(Stdio::from(OwnedFd::from(theirs)));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // The other end of the connection is open in `command` too.
        drop(command);
        let mut files = Self { stream: UnixStream::from_std(ours)?, _process: process };
        let request = FileRequest {
            // The process is that user already.
            user: String::new(),
            path: order.path.clone(),
            action: order.action,
            idle_ms: IDLE_MS,
        };
        files.message(&request).await?;
        Ok(files)
    }

    pub(crate) async fn next(&mut self) -> Result<Frame, TransferError> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head).await?;
        let (kind, length) = read_head(head).map_err(io::Error::other)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        match kind {
            FrameKind::Piece => Ok(Frame::Piece(body)),
            FrameKind::Message | FrameKind::Event => {
                let reply = decode_message(&body).map_err(io::Error::other)?;
                if let Reply::Failed { error, message } = reply {
                    return Err(TransferError::Refused(error, message));
                }
                Ok(Frame::Reply(reply))
            }
        }
    }

    /// The next frame, which must be a reply.
    pub(crate) async fn reply(&mut self) -> Result<Reply, TransferError> {
        match self.next().await? {
            Frame::Reply(reply) => Ok(reply),
            Frame::Piece(_) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    /// All replies, to the last one.
    pub(crate) async fn rest(mut self) -> Result<Vec<Reply>, TransferError> {
        let mut replies = Vec::new();
        loop {
            let reply = self.reply().await?;
            let is_last = matches!(reply, Reply::Done(_));
            replies.push(reply);
            if is_last {
                return Ok(replies);
            }
        }
    }

    /// Asks for the whole file, which has this size.
    pub(crate) async fn ask(&mut self, length: u64) -> io::Result<()> {
        self.message(&FromCaller::Send { offset: 0, length }).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(MAX_PIECE_BYTES) {
            // By one call, so that the process is not woken by a few bytes.
            let head = piece_head(piece.len());
            self.stream.write_all_buf(&mut Buf::chain(&head[..], piece)).await?;
        }
        Ok(())
    }

    /// Says that all pieces were sent.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.message(&FromCaller::End).await
    }

    async fn message(&mut self, message: &impl serde::Serialize) -> io::Result<()> {
        let frame = encode_message(message).map_err(io::Error::other)?;
        self.stream.write_all(&frame).await
    }
}
