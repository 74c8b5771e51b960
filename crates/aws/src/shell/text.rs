//! Bytes to the runner and back as lines over a data channel.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use runner::lines::{self, Decoder};
use ssm::client::Channel;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PIECE_BYTES: usize = 8 << 10;
/// Of what is written, encoded at once.
const BATCH_BYTES: usize = 48 << 10;

/// Tells the other side when it is dropped, for a command does not end with its channel.
#[derive(Debug)]
pub(super) struct Text<C: AsyncWrite + Unpin = Channel> {
    channel: C,
    decoder: Decoder,
    /// Decoded and not read yet, from `taken` on.
    heard: Vec<u8>,
    taken: usize,
    /// Whole lines that the channel has not taken yet.
    unsent: Vec<u8>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Text<C> {
    pub(super) fn over(channel: C) -> Self {
        let decoder = Decoder::before_greeting();
        Self { channel, decoder, heard: Vec::new(), taken: 0, unsent: Vec::new() }
    }

    /// Waits until the other side may be spoken to.
    pub(super) async fn greeting(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE_BYTES];
        while !self.decoder.is_greeted() {
            let count = self.channel.read(&mut piece).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.hear(&piece[..count])?;
        }
        Ok(())
    }

    fn hear(&mut self, piece: &[u8]) -> io::Result<()> {
        self.heard.drain(..self.taken);
        self.taken = 0;
        let heard = self.decoder.feed(piece, &mut self.heard);
        heard.map_err(|garbled| io::Error::new(io::ErrorKind::InvalidData, garbled))
    }
}

impl<C: AsyncWrite + Unpin> Text<C> {
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

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Text<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let heard = &self.heard[self.taken..];
            if !heard.is_empty() {
                let count = heard.len().min(buffer.remaining());
                buffer.put_slice(&heard[..count]);
                self.taken += count;
                return Poll::Ready(Ok(()));
            }
            if self.decoder.is_over() {
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; PIECE_BYTES];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.channel).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.hear(piece.filled())?;
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Text<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let count = bytes.len().min(BATCH_BYTES);
        lines::encode_into(&bytes[..count], &mut self.unsent);
        // What it does not take now goes with the next call.
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
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.channel).poll_shutdown(cx)
    }
}

impl<C: AsyncWrite + Unpin> Drop for Text<C> {
    fn drop(&mut self) {
        self.unsent.extend_from_slice(lines::END.as_bytes());
        // If the channel takes no more at this moment, the other side ends after a long silence.
        let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
