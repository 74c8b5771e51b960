//! The connection to the caller: frames, sent and received one after the other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use runner::protocol::files::{
    self, FrameKind, FromCaller, HEAD_BYTES, MAX_PIECE_BYTES, Reply, piece_head,
};

use super::error::Failure;
use super::splice::Splice;

/// How long a caller that still sends has to notice the last reply.
const LINGER: Duration = Duration::from_secs(5);

/// How many bytes are received at once: what a caller's kernel holds of a large file.
const BUFFER_BYTES: usize = 256 << 10;

/// The smallest piece that is spliced to a file. Splicing takes more system calls for each piece than reading several
/// small pieces at once, and so more processor time for pieces of 16 KiB and less.
const MIN_SPLICE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// What was received, frame after frame as the caller has sent them.
    received: Vec<u8>,
    /// The part of that which was not yet returned to the caller.
    unread: Range<usize>,
    /// The length of the last piece that has begun, and zero before the first.
    piece: usize,
    /// How many bytes of that piece follow.
    left: usize,
}

/// What the caller has sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Received<'a> {
    /// The next bytes of the pieces.
    Bytes(&'a [u8]),
    Message(FromCaller),
}

impl Channel {
    pub(super) fn open(stream: UnixStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream, received: vec![0; BUFFER_BYTES], unread: 0..0, piece: 0, left: 0 })
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

    /// The next bytes, as many as are there and at most so many, or the next message.
    pub(super) fn receive(&mut self, most: usize) -> Result<Received<'_>, Failure> {
        if let Some(message) = self.message(BUFFER_BYTES)? {
            return Ok(Received::Message(message));
        }
        if self.unread.is_empty() {
            self.fill(BUFFER_BYTES)?;
        }
        let count = self.unread.len().min(self.left).min(most);
        self.left -= count;
        self.take(count, 0).map(Received::Bytes)
    }

    /// Writes the bytes of the pieces to the file, and returns the message after them.
    ///
    /// The piece after a small one is expected to be small as well, so its head is received together with what follows.
    /// Nothing is received ahead after a large piece: such bytes would be copied through this process.
    pub(super) fn receive_file(&mut self, file: &mut File) -> Result<FromCaller, Failure> {
        let mut splice = Splice::new().ok();
        loop {
            let is_spliced = splice.is_some() && self.piece >= MIN_SPLICE_BYTES;
            let ahead = if is_spliced { 0 } else { BUFFER_BYTES };
            if let Some(message) = self.message(ahead)? {
                return Ok(message);
            }
            if self.unread.is_empty()
                && self.piece >= MIN_SPLICE_BYTES
                && let Some(pipe) = &mut splice
            {
                match pipe.transfer(&self.stream, file, self.left)? {
                    Some(count) => self.left -= count,
                    None => splice = None,
                }
            } else if let Received::Bytes(bytes) = self.receive(usize::MAX)? {
                file.write_all(bytes)?;
            }
        }
    }

    /// The next message, or `None` if it is preceded by bytes of pieces. Beyond what is needed at most `ahead`
    /// bytes are received.
    fn message(&mut self, ahead: usize) -> Result<Option<FromCaller>, Failure> {
        while self.left == 0 {
            let head = self.take(HEAD_BYTES, ahead)?.try_into().map_err(|_| Failure::Lost)?;
            let (kind, length) = files::read_head(head).map_err(|_| Failure::Lost)?;
            match kind {
                FrameKind::Piece => (self.piece, self.left) = (length, length),
                FrameKind::Message => {
                    let message = files::decode_message(self.take(length, ahead)?);
                    return message.map(Some).map_err(|_| Failure::Lost);
                }
                FrameKind::Event => return Err(Failure::Lost),
            }
        }
        Ok(None)
    }

    /// The next bytes. If they are not there, they are received, and at most `ahead` bytes beyond them.
    fn take(&mut self, count: usize, ahead: usize) -> Result<&[u8], Failure> {
        if count > self.received.len() {
            return Err(Failure::Lost);
        }
        while self.unread.len() < count {
            self.fill((count - self.unread.len()).saturating_add(ahead))?;
        }
        let start = self.unread.start;
        self.unread.start += count;
        self.received.get(start..start + count).ok_or(Failure::Lost)
    }

    /// Receives what is there, at least a byte and at most so many.
    fn fill(&mut self, most: usize) -> Result<(), Failure> {
        let unread = self.unread.len();
        self.received.copy_within(self.unread.clone(), 0);
        self.unread = 0..unread;
        let end = self.received.len().min(unread.saturating_add(most));
        let free = self.received.get_mut(unread..end).ok_or(Failure::Lost)?;
        loop {
            match self.stream.read(free) {
                Ok(0) => return Err(Failure::Lost),
                Ok(count) => {
                    self.unread.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Lost),
            }
        }
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

#[cfg(test)]
mod tests;
