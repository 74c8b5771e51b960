use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, DuplexStream},
    sync::mpsc,
};

use super::{AcceptError, Event};
use crate::{
    driver::{Clock, Command, Driver, PIPE_CAPACITY, Policy, Socket},
    endpoint::{Endpoint, Role},
    inbox::{self, inbox},
    message::PayloadType,
};

/// The options of a session. The defaults are those of ECS Exec without a KMS key, except `drain`: AWS's agent waits only 2 s.
#[derive(Debug, Clone)]
pub struct Options {
    /// The maximum payload of one message in bytes.
    pub chunk: usize,
    /// Whether to request a handshake. If the client does not answer, the session starts 3 s later.
    pub handshake: bool,
    /// Whether to begin with an empty message of output. AWS's session-manager-plugin sends neither input nor a size before it has
    /// received output or a handshake, so that a command that prints nothing could not be used; some other clients know no handshake.
    pub announce: bool,
    /// For how long the acknowledgement of terminal bytes may wait for bytes in the other direction that are sent with it. AWS's client
    /// and agent acknowledge at once.
    pub acknowledgement_delay: Duration,
    /// The time without traffic, with or without a client, after which the session ends.
    pub idle: Duration,
    /// The time without an acknowledgement after which the end of the output no longer waits for a connected client.
    pub drain: Duration,
    /// The interval between pings. The client is disconnected after three pings without any message.
    pub keepalive: Duration,
    /// The time without a connection after which the session ends, because no client came back.
    pub linger: Duration,
    /// Whether the session ends at once when the client closes its WebSocket on purpose (RFC 6455, 7.4.1: without a code, or with 1000
    /// or 1001), as a client that leaves does.
    pub ends_with_client: bool,
    /// The time without an acknowledgement after which the client is disconnected.
    pub acknowledgement: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: 1024,
            handshake: false,
            announce: false,
            acknowledgement_delay: Duration::ZERO,
            idle: Duration::from_mins(20),
            drain: Duration::from_secs(15),
            keepalive: Duration::from_secs(54),
            linger: Duration::MAX,
            ends_with_client: false,
            acknowledgement: Duration::MAX,
        }
    }
}

/// Starts a session in a new task. The session persists across connections.
pub fn session(id: &str, options: Options) -> (Session, Input, Output) {
    let clock = Clock::start();
    let seed = random_seed(clock.now());
    let mut endpoint = Endpoint::server(seed, options.handshake, clock.now())
        .acknowledging_within(options.acknowledgement_delay);
    if options.announce {
        endpoint.send(PayloadType::Output, &[], clock.now());
    }
    let (pipe, output) = tokio::io::duplex(PIPE_CAPACITY);
    let (commands, received) = mpsc::unbounded_channel();
    let (put, events) = inbox();
    let policy = Policy {
        session: id.to_owned(),
        role: Role::Server,
        chunk: options.chunk,
        keepalive: options.keepalive,
        idle: options.idle,
        drain: options.drain,
        linger: options.linger,
        ends_with_client: options.ends_with_client,
        acknowledgement: options.acknowledgement,
    };
    let driver = Driver::new(policy, clock, endpoint, output, received, put);
    tokio::spawn(driver.run(|_| {}));
    let session = Session { id: id.into(), commands };
    (session.clone(), Input { events }, Output { pipe, session })
}

/// A seed for message ids. They need not be secret, only distinct from those of other sessions.
pub(super) fn random_seed(now: Duration) -> u128 {
    let mut seed = [0; 16];
    if getrandom::fill(&mut seed).is_err() {
        seed = now.as_nanos().to_ne_bytes();
    }
    u128::from_ne_bytes(seed)
}

/// A handle to a session.
#[derive(Clone)]
pub struct Session {
    id: Arc<str>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Session {
    /// The session id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends the session now with a message for the client. Output that the client has not received yet is lost.
    pub fn end(&self, message: &str) {
        // The send fails only if the session has already ended.
        let _ = self.commands.send(Command::End(message.to_owned()));
    }

    /// Whether the session has ended.
    pub fn is_over(&self) -> bool {
        self.commands.is_closed()
    }

    /// Replaces the connection of the session.
    pub(super) fn connect(&self, socket: Socket) -> Result<(), AcceptError> {
        let connect = Command::Connect(Box::new(socket));
        self.commands.send(connect).map_err(|_| AcceptError::Unknown)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The client's events, in order. If 8 MiB are unread, the client's messages are no longer acknowledged.
#[derive(Debug)]
pub struct Input {
    events: inbox::Receiver,
}

impl Input {
    /// The next event; `None` after [`Event::Closed`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.events.poll_next(cx)).await
    }
}

/// The output of the session's command. Writing waits while too much is unacknowledged.
///
/// A shutdown or drop means that the command has ended: the session ends when the client has acknowledged all output.
#[derive(Debug)]
pub struct Output {
    pipe: DuplexStream,
    session: Session,
}

impl Output {
    /// Ends the output with a message that the client receives when the session ends.
    pub fn finish(self, message: &str) {
        let _ = self.session.commands.send(Command::Message(message.to_owned()));
    }
}

impl AsyncWrite for Output {
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
