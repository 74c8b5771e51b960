//! The connection to the caller: frames, sent and received one after the other.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use runner::protocol::files::{
    self, FrameKind, FromCaller, HEAD_BYTES, MAX_PIECE_BYTES, Reply, piece_head,
};

use super::error::Failure;

/// How long a caller that still sends has to notice the last reply.
const LINGER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// What was received of the next frame's head, together with a body.
    head: [u8; HEAD_BYTES],
    received: usize,
}

/// What the caller has sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Received {
    /// The beginning of the buffer has so many bytes.
    Piece(usize),
    Message(FromCaller),
}

impl Channel {
    pub(super) fn open(stream: UnixStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream, head: [0; HEAD_BYTES], received: 0 })
    }

    pub(super) fn reply(&mut self, reply: &Reply) -> Result<(), Failure> {
        let frame = files::encode_message(reply).map_err(|_| Failure::Lost)?;
        self.stream.write_all(&frame).map_err(|_| Failure::Lost)
    }

    pub(super) fn send(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let head = piece_head(piece.len());
        let sent = self.stream.write_all(&head).and_then(|()| self.stream.write_all(piece));
        sent.map_err(|_| Failure::Lost)
    }

    /// Sends a part of a file as pieces, without copying it through this process.
    pub(super) fn send_file(
        &mut self,
        file: &File,
        mut offset: u64,
        length: u64,
    ) -> Result<(), Failure> {
        let end = offset.saturating_add(length);
        while offset < end {
            let piece = usize::try_from(end - offset).unwrap_or(usize::MAX).min(MAX_PIECE_BYTES);
            self.stream.write_all(&piece_head(piece)).map_err(|_| Failure::Lost)?;
            let mut left = piece;
            while left > 0 {
                match rustix::fs::sendfile(&self.stream, file, Some(&mut offset), left) {
                    // The file has become shorter than it was. The caller notices the missing bytes.
                    Ok(0) => return Err(Failure::Lost),
                    Ok(count) => left -= count,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return Err(Failure::Lost),
                }
            }
        }
        Ok(())
    }

    /// The next frame; a piece is put into the buffer, which has room for the largest one.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Failure> {
        let rest = self.head.get_mut(self.received..).ok_or(Failure::Lost)?;
        self.stream.read_exact(rest).map_err(|_| Failure::Lost)?;
        let (kind, length) = files::read_head(self.head).map_err(|_| Failure::Lost)?;
        let body = buffer.get_mut(..length).ok_or(Failure::Lost)?;
        self.fill(body).map_err(|_| Failure::Lost)?;
        match kind {
            FrameKind::Piece => Ok(Received::Piece(length)),
            FrameKind::Message => {
                files::decode_message(body).map(Received::Message).map_err(|_| Failure::Lost)
            }
            FrameKind::Event => Err(Failure::Lost),
        }
    }

    /// Receives a body, and by the same calls what has arrived of the next head.
    fn fill(&mut self, mut body: &mut [u8]) -> io::Result<()> {
        self.received = 0;
        while !body.is_empty() {
            let length = body.len();
            let mut parts = [IoSliceMut::new(body), IoSliceMut::new(&mut self.head)];
            match self.stream.read_vectored(&mut parts) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.received = count.saturating_sub(length);
                    body = body.get_mut(count.min(length)..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the connection after the last reply. A caller that still sends must be able to read it.
    pub(super) fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.set_read_timeout(Some(LINGER));
        let deadline = Instant::now() + LINGER;
        let mut rest = [0; 16 << 10];
        while Instant::now() < deadline
            && matches!(self.stream.read(&mut rest), Ok(count) if count > 0)
        {}
    }
}

/// A buffer for [`Channel::receive`].
pub(super) fn buffer() -> Vec<u8> {
    vec![0; MAX_PIECE_BYTES]
}
