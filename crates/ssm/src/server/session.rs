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
    driver::{Clock, Command, Driver, PIPE, Policy, Socket},
    endpoint::{Endpoint, Role},
    inbox::{self, inbox},
};

/// How a session behaves. The defaults are those of ECS Exec without a KMS key, but for the drain: AWS's agent waits for 2 s.
#[derive(Debug, Clone)]
pub struct Options {
    /// Payload bytes of one message.
    pub chunk: usize,
    /// Ask for a handshake. A client that gives no answer gets its session all the same, 3 s later.
    pub handshake: bool,
    /// How long nothing may go or come, with or without a client, before the session is ended.
    pub idle: Duration,
    /// With a client: how long the end waits when acknowledgements stop to come.
    pub drain: Duration,
    /// Between pings. Three of them without any sign of life disconnect the client.
    pub keepalive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: 1024,
            handshake: false,
            idle: Duration::from_mins(20),
            drain: Duration::from_secs(15),
            keepalive: Duration::from_secs(54),
        }
    }
}

/// Starts a session, which outlives its connections, in a task of its own.
pub fn session(id: &str, options: Options) -> (Session, Input, Output) {
    let clock = Clock::start();
    // Ids need to differ from those of other sessions, and nothing more.
    let mut seed = [0; 16];
    if getrandom::fill(&mut seed).is_err() {
        seed = clock.now().as_nanos().to_ne_bytes();
    }
    let endpoint = Endpoint::server(u128::from_ne_bytes(seed), options.handshake, clock.now());
    let (pipe, output) = tokio::io::duplex(PIPE);
    let (commands, received) = mpsc::unbounded_channel();
    let (put, events) = inbox();
    let policy = Policy {
        session: id.to_owned(),
        role: Role::Server,
        chunk: options.chunk,
        keepalive: options.keepalive,
        idle: options.idle,
        drain: options.drain,
    };
    let driver = Driver::new(policy, clock, endpoint, output, received, put);
    tokio::spawn(driver.run(|_| {}));
    let session = Session { id: id.into(), commands };
    (session.clone(), Input { events }, Output { pipe, session })
}

/// A session, to look it up by.
#[derive(Clone)]
pub struct Session {
    id: Arc<str>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Session {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends it now, with a text for the client. What the client has not got yet is lost.
    pub fn end(&self, message: &str) {
        // Fails if it is over, which is as well.
        let _ = self.commands.send(Command::End(message.to_owned()));
    }

    pub fn is_over(&self) -> bool {
        self.commands.is_closed()
    }

    /// Gives it a connection, in place of the one it has.
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

/// What the client sends, in order. A slow reader holds the client back, from 8 MiB on.
#[derive(Debug)]
pub struct Input {
    events: inbox::Receiver,
}

impl Input {
    /// The next event; after [`Event::Closed`] there is none. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.events.poll_next(cx)).await
    }
}

/// The command's output. Writing waits while too much is unacknowledged.
///
/// When it is shut down or dropped, the command has ended: the session ends as soon as the client has everything.
#[derive(Debug)]
pub struct Output {
    pipe: DuplexStream,
    session: Session,
}

impl Output {
    /// Ends the output with a text for the client, shown when the session ends.
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
