//! Frames over a byte stream.

use std::io;

use runner::protocol::{Decoder, Event, Message, ProtocolError, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Transport;

const PIECE_BYTES: usize = 64 << 10;

/// Why a connection can't be used.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nobody listens, or the other end went away.
    Closed,
    /// The stream failed in a way that says nothing about the runner.
    Io(io::Error),
    /// One side broke the protocol.
    Protocol(ProtocolError),
}

/// One connection to a runner.
pub(crate) struct Connection {
    stream: Box<dyn Transport>,
    decoder: Decoder<Event>,
    piece: Vec<u8>,
}

impl Connection {
    pub(crate) fn over(stream: Box<dyn Transport>) -> Self {
        Self { stream, decoder: Decoder::default(), piece: Vec::new() }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Result<(), Broken> {
        let frame = request.encode().map_err(Broken::Protocol)?;
        self.stream.write_all(&frame).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next event. Safe to drop: nothing read is lost.
    pub(crate) async fn receive(&mut self) -> Result<Event, Broken> {
        loop {
            if let Some(event) = self.decoder.next().map_err(Broken::Protocol)? {
                return Ok(event);
            }
            self.piece.reserve(PIECE_BYTES);
            if self.stream.read_buf(&mut self.piece).await? == 0 {
                return Err(Broken::Closed);
            }
            self.decoder.feed(&self.piece);
            self.piece.clear();
        }
    }
}

impl From<io::Error> for Broken {
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
        if closed { Self::Closed } else { Self::Io(error) }
    }
}
