//! One connection to a runner: frames over a byte stream.

use std::io;

use runner::protocol::{Decoder, Event, Message, ProtocolError, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::Transport;

/// How many bytes are read at once: at first, because most connections are idle most of the time, and at most.
const MIN_READ_BYTES: usize = 4 << 10;
const MAX_READ_BYTES: usize = 64 << 10;

/// Why a connection can't be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// Nothing listens, the runner closed the connection, or it was silent for too long.
    #[error("the connection is closed")]
    Closed(#[source] io::Error),
    /// The stream failed for a reason that says nothing about the runner.
    #[error(transparent)]
    Io(io::Error),
    /// One side violated the protocol.
    #[error(transparent)]
    Protocol(ProtocolError),
}

/// One connection to a runner.
pub(crate) struct Connection {
    stream: Box<dyn Transport>,
    events: EventReader,
}

/// Reads events from a byte stream.
#[derive(Default)]
pub(super) struct EventReader {
    decoder: Decoder<Event>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn over(stream: Box<dyn Transport>) -> Self {
        Self { stream, events: EventReader::default() }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Result<(), ConnectionError> {
        let frame = request.encode().map_err(ConnectionError::Protocol)?;
        self.stream.write_all(&frame).await?;
        Ok(self.stream.flush().await?)
    }

    /// Closes the connection, and waits until the other side has closed it too.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
        Ok(())
    }

    /// The next event. Cancel-safe: a dropped call loses no bytes.
    pub(crate) async fn receive(&mut self) -> Result<Event, ConnectionError> {
        self.events.next(&mut self.stream).await
    }
}

impl EventReader {
    /// The next event of the stream, which must be the same in each call. Cancel-safe.
    pub(super) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.decoder.next().map_err(ConnectionError::Protocol)? {
                return Ok(event);
            }
            self.buffer.reserve(MIN_READ_BYTES);
            let count = stream.read_buf(&mut self.buffer).await?;
            if count == 0 {
                return Err(ConnectionError::Closed(io::ErrorKind::UnexpectedEof.into()));
            }
            self.decoder.feed(&self.buffer);
            let is_full = self.buffer.len() == self.buffer.capacity();
            self.buffer.clear();
            if is_full && count < MAX_READ_BYTES {
                self.buffer.reserve(2 * count);
            }
        }
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        let closed = matches!(
            error.kind(),
            K::ConnectionRefused
                | K::ConnectionReset
                | K::ConnectionAborted
                | K::BrokenPipe
                | K::UnexpectedEof
        );
        if closed { Self::Closed(error) } else { Self::Io(error) }
    }
}
