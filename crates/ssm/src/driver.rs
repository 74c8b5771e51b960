//! Connects an [`Endpoint`] to a WebSocket, a clock and an application. Each end of a channel is one task.
//!
//! One `poll` both reads and writes, so that two ends with full buffers can't block each other.

mod clock;
mod connection;
mod end;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

pub(crate) use clock::Clock;
pub(crate) use connection::{Connection, Io, Socket, socket_config};
use tokio::{
    io::{AsyncRead, DuplexStream, ReadBuf},
    sync::{mpsc, watch},
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    close_reason::{CloseReason, ConnectionError},
    endpoint::{self, Endpoint, Role},
    inbox,
    message::{PayloadType, Size},
    server::Event,
};

/// The capacity in bytes of the pipe between the application and the task.
pub(crate) const PIPE_CAPACITY: usize = 256 << 10;
/// The maximum payload of one message in bytes.
const MAX_CHUNK: usize = 1 << 20;
/// The maximum number of messages queued for a socket that accepts none. The limit exceeds the send windows of both ends, so that
/// two ends that wait for each other never reach it.
const MAX_BACKLOG: usize = 16_384;
/// The time for which a dropped client waits for acknowledgements, equal to that of AWS's agent.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

/// A request of the application, besides its bytes.
#[derive(Debug)]
pub(crate) enum Command {
    Connect(Box<Socket>),
    /// Client: the lost connection can't be resumed.
    GiveUp,
    Resize(Size),
    /// Set the message sent when the output ends.
    Message(String),
    /// End the session now with this message.
    End(String),
}

/// The configuration of one end.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) session: String,
    pub(crate) role: Role,
    pub(crate) chunk: usize,
    pub(crate) keepalive: Duration,
    /// Server: the maximum time without traffic.
    pub(crate) idle: Duration,
    /// Server: the time for which the end of the session waits for acknowledgements.
    pub(crate) drain: Duration,
    /// The time without a connection after which the session ends, or a client's channel is lost.
    pub(crate) linger: Duration,
    /// Server: a client that closes its connection on purpose ends the session.
    pub(crate) ends_with_client: bool,
    /// The time without an acknowledgement after which the connection is lost.
    pub(crate) acknowledgement: Duration,
}

#[derive(Debug)]
pub(crate) struct Driver {
    policy: Policy,
    clock: Clock,
    endpoint: Endpoint,
    connection: Option<Connection>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// The bytes that the application writes.
    pipe: DuplexStream,
    chunk: Box<[u8]>,
    inbox: inbox::Sender,
    timer: Pin<Box<Sleep>>,
    /// The time at which the connection was lost.
    disconnected_at: Option<Duration>,
    /// Client: the reason of that.
    lost: Option<ConnectionError>,
    /// Client: whether the service has accepted the channel, so that it can be resumed.
    is_accepted: bool,
    connected: watch::Sender<bool>,
    /// The time at which the application wrote its last byte.
    finished_at: Option<Duration>,
    /// The time at which the application dropped its handle.
    dropped_at: Option<Duration>,
    message: String,
    exit_code: Option<i32>,
    closed: Option<CloseReason>,
}

impl Driver {
    pub(crate) fn new(
        policy: Policy,
        clock: Clock,
        endpoint: Endpoint,
        pipe: DuplexStream,
        commands: mpsc::UnboundedReceiver<Command>,
        inbox: inbox::Sender,
    ) -> Self {
        Self {
            chunk: vec![0; policy.chunk.clamp(1, MAX_CHUNK)].into(),
            policy,
            clock,
            endpoint,
            connection: None,
            commands,
            pipe,
            inbox,
            timer: Box::pin(sleep(Duration::ZERO)),
            disconnected_at: None,
            lost: None,
            is_accepted: false,
            connected: watch::Sender::new(true),
            finished_at: None,
            dropped_at: None,
            message: String::new(),
            exit_code: None,
            closed: None,
        }
    }

    /// Whether there is a connection; false while a lost one may be resumed.
    pub(crate) fn connected_state(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Replaces the current connection, if any.
    pub(crate) fn connect(&mut self, connection: Connection, now: Duration) {
        self.disconnect();
        self.connection = Some(connection);
        self.disconnected_at = None;
        self.endpoint.connected(now);
        self.connected.send_replace(true);
    }

    /// Runs until the channel is closed, passes the reason to `on_close`, and closes the connection.
    pub(crate) async fn run(mut self, on_close: impl FnOnce(&CloseReason)) {
        let closed = std::future::poll_fn(|cx| self.poll(cx)).await;
        // Writing must fail before the reason is published, so that no observer sees a half-closed channel.
        drop(self.pipe);
        self.commands.close();
        on_close(&closed);
        self.inbox.put(Event::Closed(closed));
        if let Some(connection) = self.connection {
            let last = std::iter::from_fn(|| self.endpoint.poll_transmit());
            connection.close_gracefully(last).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let now = self.clock.now();
            let mut busy = self.poll_read(cx, now);
            busy |= self.poll_pipe(cx, now);
            // Commands come after the pipe: the application sends its closing message before it closes the pipe.
            busy |= self.poll_commands(cx, now);
            self.check_end(now);
            busy |= self.poll_write(cx);
            if let Some(closed) = self.closed.take() {
                return Poll::Ready(closed);
            }
            if !busy {
                ready!(self.poll_timer(cx, now));
            }
        }
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        if self.dropped_at.is_some() {
            return false;
        }
        let mut busy = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            busy = true;
            match command {
                Some(Command::Connect(socket)) => self.connect(Connection::new(*socket, now), now),
                Some(Command::GiveUp) => self.give_up(),
                Some(Command::Resize(size)) => {
                    let size = serde_json::to_vec(&size).expect("numbers can be serialized");
                    self.endpoint.send(PayloadType::Size, &size, now);
                }
                Some(Command::Message(message)) => self.message = message,
                Some(Command::End(message)) => self.end(message, now),
                None => {
                    self.dropped_at = Some(now);
                    break;
                }
            }
        }
        busy
    }

    /// Reads messages from the socket while the queues have capacity.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut busy = false;
        while self.endpoint.backlog() < MAX_BACKLOG && self.inbox.poll_capacity(cx).is_ready() {
            let Some(connection) = &mut self.connection else { break };
            match connection.poll_read(cx) {
                Poll::Ready(Ok(Message::Binary(message))) => {
                    self.endpoint.receive(message, now);
                    self.take_events(now);
                    self.is_accepted = true;
                }
                // The WebSocket library answers pings; text is ignored, as AWS's client does.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => self.connection_lost(error),
                Poll::Pending => break,
            }
            busy = true;
        }
        busy
    }

    fn take_events(&mut self, now: Duration) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                endpoint::Event::Bytes(bytes) => self.inbox.put(Event::Bytes(bytes)),
                endpoint::Event::Size(Size { cols, rows }) => {
                    self.inbox.put(Event::Size { cols, rows });
                }
                endpoint::Event::ExitCode(code) => self.exit_code = Some(code),
                endpoint::Event::Terminate => self.end(String::new(), now),
                endpoint::Event::HandshakeRefused => self.end("handshake refused".into(), now),
                endpoint::Event::Closed { message } if !self.is_accepted => {
                    self.closed.get_or_insert(ConnectionError::Refused(message).into());
                }
                endpoint::Event::Closed { message } => {
                    let exit_code = self.exit_code;
                    self.closed.get_or_insert(CloseReason::Ended { message, exit_code });
                }
            }
        }
    }

    /// Reads the application's bytes in chunks while the send window has capacity.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut busy = false;
        while self.finished_at.is_none() && self.endpoint.may_send() {
            let mut chunk = ReadBuf::new(&mut self.chunk);
            let Poll::Ready(read) = Pin::new(&mut self.pipe).poll_read(cx, &mut chunk) else {
                break;
            };
            busy = true;
            match chunk.filled() {
                filled if read.is_ok() && !filled.is_empty() => {
                    self.endpoint.send(PayloadType::Output, filled, now);
                }
                _ => self.finished_at = Some(now),
            }
        }
        busy
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.poll_write(cx, &mut self.endpoint) {
            Ok(busy) => busy,
            Err(error) => {
                self.connection_lost(error);
                true
            }
        }
    }

    /// Waits until the next timer is due; ready if one was due.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<()> {
        let due = self.next_due();
        if due <= now {
            self.on_timer(now);
            return Poll::Ready(());
        }
        let due = self.clock.instant(due);
        // A timer that fires too early is set again; a timer that would fire too late is reset.
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}
