//! Joins an [`Endpoint`] with a WebSocket, a clock and an application: one task for each end of a channel.
//!
//! Reading and writing go on side by side in one `poll`, so that neither end waits for the other with both pipes full.

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
    sync::mpsc,
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    closed::Closed,
    endpoint::{self, Endpoint, Role},
    inbox,
    message::{PayloadType, Size},
    server::Event,
};

/// Bytes between the application and the task.
pub(crate) const PIPE: usize = 256 << 10;
/// Largest payload of one message.
const MAX_CHUNK: usize = 1 << 20;
/// Messages that may wait for a socket that takes none. More than both windows: those who only wait for each other never reach it.
const MAX_BACKLOG: usize = 16_384;
/// After this long without an acknowledgement a client gives up, as AWS's does.
const GIVE_UP: Duration = Duration::from_secs(300);
/// How long a client that was dropped waits for acknowledgements: as long as AWS's agent.
const LEAVE: Duration = Duration::from_secs(2);

/// What the application asks for besides its bytes.
#[derive(Debug)]
pub(crate) enum Command {
    Connect(Box<Socket>),
    Resize(Size),
    /// The text for the end that comes when the output ends.
    Message(String),
    /// End now.
    End(String),
}

/// How an end behaves.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) session: String,
    pub(crate) role: Role,
    pub(crate) chunk: usize,
    pub(crate) keepalive: Duration,
    /// Server: how long nothing may go or come.
    pub(crate) idle: Duration,
    /// Server: how long the end waits for an acknowledgement.
    pub(crate) drain: Duration,
}

#[derive(Debug)]
pub(crate) struct Driver {
    policy: Policy,
    clock: Clock,
    endpoint: Endpoint,
    connection: Option<Connection>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// What the application writes.
    pipe: DuplexStream,
    chunk: Box<[u8]>,
    inbox: inbox::Sender,
    timer: Pin<Box<Sleep>>,
    /// When the application has written its last byte.
    finished: Option<Duration>,
    /// When the application let go of the handle.
    left: Option<Duration>,
    message: String,
    exit_code: Option<i32>,
    closed: Option<Closed>,
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
            finished: None,
            left: None,
            message: String::new(),
            exit_code: None,
            closed: None,
        }
    }

    /// Uses a connection, in place of the one there is.
    pub(crate) fn connect(&mut self, connection: Connection, now: Duration) {
        self.disconnect();
        self.connection = Some(connection);
        self.endpoint.connected(now);
    }

    /// Runs until the channel is over, tells why, and then takes leave of the peer.
    pub(crate) async fn run(mut self, tell: impl FnOnce(&Closed)) {
        let closed = std::future::poll_fn(|cx| self.poll(cx)).await;
        // First what makes writing fail, then what tells: nobody finds a channel half closed.
        drop(self.pipe);
        self.commands.close();
        tell(&closed);
        self.inbox.put(Event::Closed(closed));
        if let Some(connection) = self.connection {
            let last = std::iter::from_fn(|| self.endpoint.poll_transmit());
            connection.say_goodbye(last).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        loop {
            let now = self.clock.now();
            let mut busy = self.poll_read(cx, now);
            busy |= self.poll_pipe(cx, now);
            // After the pipe: who finishes says with what text before it closes the pipe.
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
        if self.left.is_some() {
            return false;
        }
        let mut busy = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            busy = true;
            match command {
                Some(Command::Connect(socket)) => self.connect(Connection::new(*socket, now), now),
                Some(Command::Resize(size)) => {
                    let size = serde_json::to_vec(&size).expect("two numbers have a JSON form");
                    self.endpoint.send(PayloadType::Size, &size, now);
                }
                Some(Command::Message(message)) => self.message = message,
                Some(Command::End(message)) => self.end(message, now),
                None => {
                    self.left = Some(now);
                    break;
                }
            }
        }
        busy
    }

    /// Takes messages from the socket while there is room for what is in them.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut busy = false;
        while self.endpoint.backlog() < MAX_BACKLOG && self.inbox.poll_room(cx).is_ready() {
            let Some(connection) = &mut self.connection else { break };
            match connection.poll_read(cx) {
                Poll::Ready(Ok(Message::Binary(message))) => {
                    self.endpoint.receive(message, now);
                    self.take_events(now);
                }
                // Pings are answered below us; text is left aside, as AWS's client does.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(loss)) => self.lose(loss),
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
                endpoint::Event::Closed { message } => {
                    let exit_code = self.exit_code;
                    self.closed.get_or_insert(Closed::Ended { message, exit_code });
                }
            }
        }
    }

    /// Takes what the application wrote, a chunk at a time, while not too much is unacknowledged.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut busy = false;
        while self.finished.is_none() && self.endpoint.may_send() {
            let mut chunk = ReadBuf::new(&mut self.chunk);
            let Poll::Ready(read) = Pin::new(&mut self.pipe).poll_read(cx, &mut chunk) else {
                break;
            };
            busy = true;
            match chunk.filled() {
                filled if read.is_ok() && !filled.is_empty() => {
                    self.endpoint.send(PayloadType::Output, filled, now);
                }
                _ => self.finished = Some(now),
            }
        }
        busy
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.poll_write(cx, &mut self.endpoint) {
            Ok(busy) => busy,
            Err(loss) => {
                self.lose(loss);
                true
            }
        }
    }

    /// Waits for whatever is due next; ready if something was.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<()> {
        let due = self.next_due();
        if due <= now {
            self.on_timer(now);
            return Poll::Ready(());
        }
        let due = self.clock.instant(due);
        // A timer that rings early is set again; one that would ring late is not left so.
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}
