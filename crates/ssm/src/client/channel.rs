use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::{mpsc, watch},
};

use crate::{
    close_reason::{CloseReason, ConnectionError},
    driver::{Command, Driver},
    inbox,
    message::Size,
    server::Event,
};

/// An open data channel: reading returns the session's output, writing sends its input.
///
/// Reading ends when the service closes the channel, and fails when the connection is lost. Writing waits while too much input is
/// unacknowledged. The protocol has no half-close: after a shutdown, output can still be read.
///
/// A dropped channel still sends the written input and waits up to 2 s for acknowledgements in the background. AWS does not end the
/// command when the channel closes.
pub struct Channel {
    pipe: DuplexStream,
    output: inbox::Receiver,
    unread: Bytes,
    /// The reason for the end, once reading has reached it.
    end: Option<CloseReason>,
    commands: mpsc::UnboundedSender<Command>,
    closed: watch::Receiver<Option<CloseReason>>,
    connected: watch::Receiver<bool>,
}

impl Channel {
    pub(super) fn new(
        driver: Driver,
        pipe: DuplexStream,
        commands: mpsc::UnboundedSender<Command>,
        output: inbox::Receiver,
    ) -> Self {
        let (sender, closed) = watch::channel(None);
        let connected = driver.connected_state();
        tokio::spawn(async move {
            let on_close = |reason: &CloseReason| {
                sender.send_replace(Some(reason.clone()));
            };
            driver.run(on_close).await;
            // `close` waits for this drop, which means that the connection is closed.
            drop(sender);
        });
        Self { pipe, output, unread: Bytes::new(), end: None, commands, closed, connected }
    }

    /// Resolves with the reason when the channel is closed. The future may outlive the channel.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let mut closed = self.closed.clone();
        async move { close_reason(&mut closed).await }
    }

    /// Whether there is a connection: false while a lost one is opened again. What is written then is sent afterwards.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Sends the size of the terminal.
    pub fn resize(&self, cols: u16, rows: u16) {
        // The send fails only after the end of the channel, when the size no longer matters.
        let _ = self.commands.send(Command::Resize(Size { cols, rows }));
    }

    /// A function that sends the size of the terminal, for a channel that was split into halves. The channel counts as dropped
    /// when the function is dropped as well.
    pub fn resizer(&self) -> impl Fn(u16, u16) + Send + 'static {
        let commands = self.commands.clone();
        move |cols, rows| {
            // As above.
            let _ = commands.send(Command::Resize(Size { cols, rows }));
        }
    }

    /// Drops the channel and waits until the connection is closed, for at most 4 s.
    pub async fn close(self) -> CloseReason {
        let mut closed = self.closed.clone();
        drop(self);
        let reason = close_reason(&mut closed).await;
        while closed.changed().await.is_ok() {}
        reason
    }

    fn ended(&self) -> Option<io::Result<()>> {
        Some(match self.end.as_ref()? {
            CloseReason::Ended { .. } | CloseReason::Dropped => Ok(()),
            CloseReason::Lost(cause) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, Arc::clone(cause)))
            }
        })
    }
}

async fn close_reason(closed: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let closed = closed.wait_for(Option::is_some).await.ok().and_then(|closed| closed.clone());
    closed.unwrap_or_else(|| ConnectionError::RuntimeShutdown.into())
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.remaining();
        // Fill the buffer with all available messages, because each message is small.
        while buffer.remaining() > 0 {
            if this.unread.has_remaining() {
                let length = this.unread.len().min(buffer.remaining());
                buffer.put_slice(&this.unread.split_to(length));
                continue;
            }
            let read = buffer.remaining() < before;
            if let Some(ended) = this.ended() {
                return Poll::Ready(if read { Ok(()) } else { ended });
            }
            match this.output.poll_next(cx) {
                Poll::Ready(Some(Event::Bytes(bytes))) => this.unread = bytes,
                Poll::Ready(Some(Event::Size { .. })) => {}
                Poll::Ready(Some(Event::Closed(closed))) => this.end = Some(closed),
                Poll::Ready(None) => this.end = Some(ConnectionError::RuntimeShutdown.into()),
                Poll::Pending if read => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("end", &self.end).finish_non_exhaustive()
    }
}
