//! Carries between a service, to which it opens a WebSocket, and the runner of the task that it runs in.
//!
//! Usage: `runner-link --socket PATH [--task NAME] <TOKEN_FILE`
//! - `EPHEMERAL_LINK_URL`: the service, `wss://…`; `ws://…` for tests
//! - standard input: a file with the token of the next connection, which is replaced when the service sends
//!   another one. A process that follows this one finds it there.
//! - `--task`: the name of the task; otherwise ECS's metadata endpoint is asked for it
//!
//! SIGTERM ends it as soon as the service knows all of every job, or after 3 s.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use link::{Action, Carrier, frame::URL_VARIABLE};
use rustix::{
    process::DumpableBehavior,
    thread::{CapabilitySet, CapabilitySets},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    runner_socket::{Connection, Heard},
    service::{FromService, Service},
    token::Token,
};

mod liveness;
mod runner_socket;
mod service;
mod task;
mod token;

const USAGE: &str =
    "usage: EPHEMERAL_LINK_URL=URL runner-link --socket PATH [--task NAME] <TOKEN_FILE";
/// How long the last reports may take after SIGTERM.
const LAST_REPORTS: Duration = Duration::from_secs(3);
/// How long nothing is done if nothing is due.
const IDLE: Duration = Duration::from_mins(5);

struct Options {
    url: String,
    socket: PathBuf,
    task: Option<String>,
}

fn main() -> ExitCode {
    match options().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error, which is that of the container. It says what becomes of connections, and
/// never has a token or anything of a frame.
fn log(line: &str) {
    // If it can't be written, nothing is to be done about that.
    let _ = writeln!(io::stderr(), "runner-link: {line}");
}

fn options() -> io::Result<Options> {
    let usage = || io::Error::other(USAGE);
    let (mut socket, mut task) = (None, None);
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(usage)?;
        match arg.to_str() {
            Some("--socket") => socket = Some(value.into()),
            Some("--task") => task = Some(value.into_string().map_err(|_| usage())?),
            _ => return Err(usage()),
        }
    }
    let url = std::env::var(URL_VARIABLE).map_err(|_| usage())?;
    Ok(Options { url, socket: socket.ok_or_else(usage)?, task })
}

fn run(options: Options) -> io::Result<()> {
    // No process of another user may read the token in the memory of this one. As root it keeps what belongs to
    // root, the runner's socket, and no right beyond that.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(carry(options))
}

async fn carry(options: Options) -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let task = match options.task {
        Some(task) => task,
        None => task::name().await?,
    };
    let mut service = Service::open(options.url, task, Token::of_stdin()?);
    let (heard, mut from_runner) = mpsc::unbounded_channel();
    let mut process = Process {
        carrier: Carrier::default(),
        begun: Instant::now(),
        socket: options.socket,
        connections: HashMap::new(),
        heard,
    };
    let mut end_at = None;
    loop {
        process.act(&service);
        if end_at.is_some_and(|at| Instant::now() >= at || process.carrier.is_idle()) {
            return Ok(());
        }
        let due = process.due().min(end_at.unwrap_or_else(|| Instant::now() + IDLE));
        tokio::select! {
            Some(()) = terminated.recv() => {
                end_at.get_or_insert(Instant::now() + LAST_REPORTS);
            }
            said = service.next() => process.hear_service(said),
            Some(heard) = from_runner.recv() => process.hear_runner(heard),
            () = sleep_until(due) => {}
        }
    }
}

struct Process {
    carrier: Carrier,
    begun: Instant,
    socket: PathBuf,
    connections: HashMap<u64, Connection>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Process {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn due(&self) -> Instant {
        let due = self.carrier.due().unwrap_or_else(|| self.now() + IDLE);
        self.begun + due
    }

    /// Does all that the carrier wants by now.
    fn act(&mut self, service: &Service) {
        while let Some(action) = self.carrier.poll(self.now()) {
            match action {
                Action::Send(frame) => service.send(frame),
                Action::Open(number, request) => {
                    let connection =
                        Connection::open(&self.socket, number, &request, self.heard.clone());
                    self.connections.insert(number, connection);
                }
                Action::Read(number) => {
                    if let Some(connection) = self.connections.get(&number) {
                        connection.read();
                    }
                }
                Action::Close(number) => drop(self.connections.remove(&number)),
                Action::Request(request) => runner_socket::request(&self.socket, &request),
                Action::Ask(number, request) => {
                    runner_socket::ask(&self.socket, number, &request, self.heard.clone());
                }
                Action::UseToken(token) => service.use_token(&token),
            }
        }
    }

    fn hear_service(&mut self, said: FromService) {
        match said {
            FromService::Connected => self.carrier.connected(self.now()),
            FromService::Frame(frame) => self.carrier.frame(frame, self.now()),
            FromService::Lost => self.carrier.disconnected(),
        }
    }

    fn hear_runner(&mut self, heard: Heard) {
        match heard {
            Heard::Event(connection, Some(event)) => {
                self.carrier.event(connection, event, self.now());
            }
            Heard::Event(connection, None) => {
                self.connections.remove(&connection);
                self.carrier.closed(connection, self.now());
            }
            Heard::Answer(number, answer) => {
                self.carrier.answered(number, answer.as_ref(), self.now());
            }
        }
    }
}
