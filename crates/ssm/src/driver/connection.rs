use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{close_reason::ConnectionError, endpoint::Endpoint};

/// The timeout of the closing handshake of a WebSocket.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of pings without any message from the peer after which a connection is lost.
const MAX_UNANSWERED_PINGS: u32 = 3;
/// The maximum size of a received WebSocket message in bytes.
const MAX_MESSAGE: usize = 2 << 20;
/// How many bytes are read from a socket at once. A buffer of this size belongs to each connection, and most
/// are idle most of the time. Bytes.
const READ_BUFFER: usize = 16 << 10;

/// A byte stream: TCP with or without TLS.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Io for T {}

/// A WebSocket after the upgrade.
pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// A WebSocket with its keepalive state.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    needs_flush: bool,
    /// The number of pings since the last message from the peer. They are counted, not timed, so that a host that was suspended does
    /// not consider the peer lost.
    unanswered: u32,
    /// The time of the next ping. The first ping is sent at once, as AWS's client does.
    pub(super) ping: Duration,
}

impl Connection {
    pub(crate) fn new(socket: Socket, now: Duration) -> Self {
        Self { socket, needs_flush: false, unanswered: 0, ping: now }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message, ConnectionError>> {
        let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(Message::Close(Some(close)))) => {
                Err(ConnectionError::ClosedWithCode(close.code.into()))
            }
            Some(Ok(Message::Close(None))) | None => Err(ConnectionError::Disconnected),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(ConnectionError::WebSocket(error)),
        };
        self.unanswered = 0;
        Poll::Ready(message)
    }

    /// Writes the endpoint's messages as far as the socket accepts them. Returns whether it accepted any.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        endpoint: &mut Endpoint,
    ) -> Result<bool, ConnectionError> {
        let mut busy = false;
        while endpoint.backlog() > 0 {
            let Poll::Ready(ready) = Pin::new(&mut self.socket).poll_ready(cx) else {
                return Ok(busy);
            };
            ready.map_err(ConnectionError::WebSocket)?;
            if let Some(message) = endpoint.poll_transmit() {
                self.start_send(Message::Binary(message))?;
                busy = true;
            }
        }
        if self.needs_flush
            && let Poll::Ready(done) = Pin::new(&mut self.socket).poll_flush(cx)
        {
            done.map_err(ConnectionError::WebSocket)?;
            self.needs_flush = false;
        }
        Ok(busy)
    }

    /// Sends a ping, or fails if too many earlier pings are unanswered.
    pub(super) fn send_ping(&mut self, next: Duration) -> Result<(), ConnectionError> {
        if self.unanswered == MAX_UNANSWERED_PINGS {
            return Err(ConnectionError::KeepaliveTimeout);
        }
        self.unanswered += 1;
        self.ping = next;
        self.start_send(Message::Ping(Bytes::from_static(b"keepalive")))
    }

    fn start_send(&mut self, message: Message) -> Result<(), ConnectionError> {
        self.needs_flush = true;
        Pin::new(&mut self.socket).start_send(message).map_err(ConnectionError::WebSocket)
    }

    /// Sends the last messages, closes the WebSocket and reads to its end. A socket dropped with unread data would reset the
    /// connection, and the peer would lose the messages that it has not read yet.
    pub(crate) async fn close_gracefully(mut self, last: impl Iterator<Item = Bytes>) {
        let closing = async {
            for message in last {
                self.socket.feed(Message::Binary(message)).await?;
            }
            self.socket.flush().await?;
            self.socket.close(None).await?;
            while let Some(message) = self.socket.next().await {
                message?;
            }
            Ok::<_, tokio_tungstenite::tungstenite::Error>(())
        };
        match timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("connection was not closed cleanly: {error}"),
            Err(_) => tracing::debug!("peer did not close the connection in time"),
        }
    }
}
