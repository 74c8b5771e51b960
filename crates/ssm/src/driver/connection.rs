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

use crate::{closed::Loss, endpoint::Endpoint};

/// How long the closing of a WebSocket may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Pings without any sign of life after which a connection counts as lost.
const UNANSWERED: u32 = 3;
/// Largest WebSocket message that is taken.
const MAX_MESSAGE: usize = 2 << 20;

/// Any stream of bytes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Io for T {}

/// A WebSocket whose upgrade is done.
pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}

/// A WebSocket in use.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    needs_flush: bool,
    /// Pings since the peer last gave a sign of life. Counted, not timed: a host that was asleep must not take the peer for dead.
    unanswered: u32,
    /// When the next ping is due: the first one at once, as AWS's client does.
    pub(super) ping: Duration,
}

impl Connection {
    pub(crate) fn new(socket: Socket, now: Duration) -> Self {
        Self { socket, needs_flush: false, unanswered: 0, ping: now }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Loss>> {
        let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(Message::Close(Some(close)))) => Err(Loss::Code(close.code.into())),
            Some(Ok(Message::Close(None))) | None => Err(Loss::Disconnected),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(Loss::Broken(error)),
        };
        self.unanswered = 0;
        Poll::Ready(message)
    }

    /// Writes what the endpoint has, as far as the socket takes it. Says whether it took any.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        endpoint: &mut Endpoint,
    ) -> Result<bool, Loss> {
        let mut busy = false;
        while endpoint.backlog() > 0 {
            let Poll::Ready(room) = Pin::new(&mut self.socket).poll_ready(cx) else {
                return Ok(busy);
            };
            room.map_err(Loss::Broken)?;
            if let Some(message) = endpoint.poll_transmit() {
                self.start_send(Message::Binary(message))?;
                busy = true;
            }
        }
        if self.needs_flush
            && let Poll::Ready(done) = Pin::new(&mut self.socket).poll_flush(cx)
        {
            done.map_err(Loss::Broken)?;
            self.needs_flush = false;
        }
        Ok(busy)
    }

    /// Sends the ping that is due, and gives up where earlier ones got no answer.
    pub(super) fn send_ping(&mut self, next: Duration) -> Result<(), Loss> {
        if self.unanswered == UNANSWERED {
            return Err(Loss::Silent);
        }
        self.unanswered += 1;
        self.ping = next;
        self.start_send(Message::Ping(Bytes::from_static(b"keepalive")))
    }

    fn start_send(&mut self, message: Message) -> Result<(), Loss> {
        self.needs_flush = true;
        Pin::new(&mut self.socket).start_send(message).map_err(Loss::Broken)
    }

    /// Sends the last messages and closes, and reads to the end: a socket dropped with something unread resets the connection,
    /// and the peer loses what it has not read yet.
    pub(crate) async fn say_goodbye(mut self, last: impl Iterator<Item = Bytes>) {
        let goodbye = async {
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
        match timeout(GOODBYE, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("connection did not close well: {error}"),
            Err(_) => tracing::debug!("peer does not close its side"),
        }
    }
}
