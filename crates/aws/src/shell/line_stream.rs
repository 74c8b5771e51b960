//! A byte stream to the runner, encoded as text lines over a data channel.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use runner::lines::{self, Decoder};
use ssm::client::Channel;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes read from the channel at once.
const READ_BYTES: usize = 8 << 10;
/// Bytes encoded by one write.
const WRITE_BYTES: usize = 48 << 10;

/// Encodes written bytes as lines and decodes received lines. Sends the end line when shut down or dropped, because
/// the bridge in the task does not end with its channel.
#[derive(Debug)]
pub(super) struct LineStream<C: AsyncWrite + Unpin = Channel> {
    channel: C,
    decoder: Decoder,
    /// Decoded bytes; those from `consumed` on have not been read yet.
    received: Vec<u8>,
    consumed: usize,
    /// Encoded lines that the channel has not accepted yet.
    unsent: Vec<u8>,
    /// Whether the end line was encoded.
    ended: bool,
}

impl<C: AsyncRead + AsyncWrite + Unpin> LineStream<C> {
    pub(super) fn new(channel: C) -> Self {
        let decoder = Decoder::before_greeting();
        Self {
            channel,
            decoder,
            received: Vec::new(),
            consumed: 0,
            unsent: Vec::new(),
            ended: false,
        }
    }

    /// Waits for the greeting, after which the bridge accepts lines.
    pub(super) async fn wait_for_greeting(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        while !self.decoder.is_greeted() {
            let count = self.channel.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.receive(&buffer[..count])?;
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.drain(..self.consumed);
        self.consumed = 0;
        let decoded = self.decoder.feed(bytes, &mut self.received);
        decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl<C: AsyncWrite + Unpin> LineStream<C> {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.unsent.extend_from_slice(lines::END.as_bytes());
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let count = ready!(Pin::new(&mut self.channel).poll_write(cx, &self.unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for LineStream<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let unread = &self.received[self.consumed..];
            if !unread.is_empty() {
                let count = unread.len().min(target.remaining());
                target.put_slice(&unread[..count]);
                self.consumed += count;
                return Poll::Ready(Ok(()));
            }
            if self.decoder.is_over() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.channel).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.receive(buffer.filled())?;
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for LineStream<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let count = bytes.len().min(WRITE_BYTES);
        lines::encode_into(&bytes[..count], &mut self.unsent);
        // Lines that the channel does not accept now are sent by the next call.
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.channel).poll_shutdown(cx)
    }
}

impl<C: AsyncWrite + Unpin> Drop for LineStream<C> {
    fn drop(&mut self) {
        self.end();
        // If the channel does not accept the line now, the bridge ends by its own idle timeout.
        let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
