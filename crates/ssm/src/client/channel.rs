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
    closed::{Closed, Loss},
    driver::{Command, Driver},
    inbox,
    message::Size,
    server::Event,
};

/// An open data channel: reads the session's output, writes its input.
///
/// Reading ends when the service closed the channel, and fails when the connection was lost. Writing waits while too much is
/// unacknowledged. The protocol has no half-close: after a shutdown nothing more is written, and output can still be read.
///
/// When it is dropped, what was written is still sent: acknowledgements are awaited for 2 s in the background. AWS does not end the
/// command with the channel.
pub struct Channel {
    pipe: DuplexStream,
    output: inbox::Receiver,
    unread: Bytes,
    /// The end, once it was read.
    end: Option<Closed>,
    commands: mpsc::UnboundedSender<Command>,
    closed: watch::Receiver<Option<Closed>>,
}

impl Channel {
    pub(super) fn new(
        driver: Driver,
        pipe: DuplexStream,
        commands: mpsc::UnboundedSender<Command>,
        output: inbox::Receiver,
    ) -> Self {
        let (tell, closed) = watch::channel(None);
        tokio::spawn(async move {
            let told = driver.run(|closed| {
                tell.send_replace(Some(closed.clone()));
            });
            told.await;
            // Dropped last: it stands for the connection.
            drop(tell);
        });
        Self { pipe, output, unread: Bytes::new(), end: None, commands, closed }
    }

    /// Resolves when the channel is over, and says why. It outlives the channel.
    pub fn closed(&self) -> impl Future<Output = Closed> + Send + 'static {
        let mut closed = self.closed.clone();
        async move { told(&mut closed).await }
    }

    /// Tells the size of the terminal.
    pub fn resize(&self, cols: u16, rows: u16) {
        // Fails after the end, when nobody has a use for it.
        let _ = self.commands.send(Command::Resize(Size { cols, rows }));
    }

    /// Drops the channel and waits until it is closed, for 4 s at most.
    pub async fn close(self) -> Closed {
        let mut closed = self.closed.clone();
        drop(self);
        let why = told(&mut closed).await;
        while closed.changed().await.is_ok() {}
        why
    }

    fn ended(&self) -> Option<io::Result<()>> {
        Some(match self.end.as_ref()? {
            Closed::Ended { .. } | Closed::Left => Ok(()),
            Closed::Lost(cause) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, Arc::clone(cause)))
            }
        })
    }
}

async fn told(closed: &mut watch::Receiver<Option<Closed>>) -> Closed {
    let closed = closed.wait_for(Option::is_some).await.ok().and_then(|closed| closed.clone());
    closed.unwrap_or_else(|| Loss::Stopped.into())
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.remaining();
        // As much as is there: each piece is one message, and small.
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
                Poll::Ready(None) => this.end = Some(Loss::Stopped.into()),
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
