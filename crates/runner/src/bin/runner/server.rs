//! The one loop: waits for output, ends of processes, requests and deadlines, and serves them all.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use runner::protocol::{Event, PROTOCOL_VERSION, Request};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::connection::Connection;
use crate::jobs::Jobs;
use crate::sys::{self, Signals};

/// Each takes up to three descriptors, of the 1024 that a process may usually have.
const MAX_CONNECTIONS: usize = 192;
/// From the end of the last job until the loop ends although callers have not taken everything.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    signals: Signals,
    jobs: Jobs,
    connections: Vec<Connection>,
    shutdown: Option<Shutdown>,
}

#[derive(Debug)]
enum Shutdown {
    Stopping,
    /// No job runs any more; callers have until then to hear of it.
    Reporting(Instant),
}

/// What one wait found.
struct Ready {
    listener: bool,
    signals: bool,
    /// In the order of the running jobs.
    jobs: Vec<bool>,
    /// In the order of the connections.
    connections: Vec<PollFlags>,
}

impl Server {
    pub(crate) fn new(socket: &Path, signals: Signals, jobs: Jobs) -> io::Result<Self> {
        let listener = listen(socket)?;
        Ok(Self { listener, signals, jobs, connections: Vec::new(), shutdown: None })
    }

    /// Serves until a SIGTERM has been worked off.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.is_over(Instant::now()) {
            let ready = self.wait()?;
            self.turn(&ready)?;
        }
        sys::kill_descendants();
        Ok(())
    }

    fn turn(&mut self, ready: &Ready) -> io::Result<()> {
        self.jobs.drain(&ready.jobs);
        let now = Instant::now();
        if ready.signals {
            self.take_signals(now)?;
        }
        self.jobs.tick(now);
        self.serve(&ready.connections, now);
        if ready.listener {
            self.accept();
        }
        if matches!(self.shutdown, Some(Shutdown::Stopping)) && self.jobs.running.is_empty() {
            self.shutdown = Some(Shutdown::Reporting(now + FAREWELL));
        }
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(Shutdown::Reporting(until)) = self.shutdown else { return false };
        now >= until || !self.connections.iter().any(Connection::has_unsent)
    }

    fn wait(&self) -> io::Result<Ready> {
        let accepts = self.shutdown.is_none() && self.connections.len() < MAX_CONNECTIONS;
        let listening = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut fds =
            vec![PollFd::new(&self.listener, listening), PollFd::new(&self.signals, PollFlags::IN)];
        let connections = self.connections.iter();
        fds.extend(connections.map(|c| PollFd::from_borrowed_fd(c.as_fd(), c.interest())));
        let pipes: Vec<(usize, PollFd<'_>)> = self.pipes().collect();
        let first_pipe = fds.len();
        fds.extend(pipes.iter().map(|(_, fd)| fd.clone()));
        match rustix::event::poll(&mut fds, self.timeout().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut jobs = vec![false; self.jobs.running.len()];
        for ((job, _), fd) in pipes.iter().zip(&fds[first_pipe..]) {
            jobs[*job] |= !fd.revents().is_empty();
        }
        Ok(Ready {
            listener: !fds[0].revents().is_empty(),
            signals: !fds[1].revents().is_empty(),
            jobs,
            connections: fds[2..first_pipe].iter().map(PollFd::revents).collect(),
        })
    }

    /// The open pipes, each with the place of its job.
    fn pipes(&self) -> impl Iterator<Item = (usize, PollFd<'_>)> {
        self.jobs.running.iter().enumerate().flat_map(|(place, job)| {
            let open = job.streams.iter().filter_map(|stream| stream.pipe());
            open.map(move |fd| (place, PollFd::from_borrowed_fd(fd, PollFlags::IN)))
        })
    }

    fn timeout(&self) -> Option<Timespec> {
        let farewell = match self.shutdown {
            Some(Shutdown::Reporting(until)) => Some(until),
            Some(Shutdown::Stopping) | None => None,
        };
        let due = self.jobs.due().into_iter().chain(farewell).min()?;
        due.saturating_duration_since(Instant::now()).try_into().ok()
    }

    fn take_signals(&mut self, now: Instant) -> io::Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.jobs.reap(now)?;
            } else if self.shutdown.is_none() {
                self.jobs.shut_down(now);
                self.shutdown = Some(Shutdown::Stopping);
            }
        }
        Ok(())
    }

    fn serve(&mut self, ready: &[PollFlags], now: Instant) {
        let mut connections = mem::take(&mut self.connections);
        for (connection, ready) in connections.iter_mut().zip(ready) {
            connection.receive(*ready, |connection, request| {
                self.answer(connection, request, now);
            });
            connection.send(&self.jobs);
        }
        connections.retain(|connection| !connection.is_over());
        self.connections = connections;
    }

    fn answer(&mut self, connection: &mut Connection, request: Request, now: Instant) {
        let answered = match request {
            Request::Start(_) | Request::Attach { .. } if connection.is_following() => {
                let message = "this connection already follows a job".to_owned();
                Err(Event::Error { message, retryable: false })
            }
            Request::Start(start) => match self.jobs.start(&start) {
                Ok(()) => return connection.follow(start.job_id, start.from, &self.jobs),
                Err(event) => Err(event),
            },
            Request::Attach { job_id, from } => match self.jobs.known(&job_id) {
                Ok(()) => return connection.follow(job_id, from, &self.jobs),
                Err(event) => Err(event),
            },
            Request::Signal { job_id, signal } => self.jobs.signal(&job_id, signal),
            Request::Cancel { job_id } => self.jobs.cancel(&job_id, now),
            Request::Release { job_id } => self.jobs.release(&job_id),
            Request::Probe => Ok(Event::Ready {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: PROTOCOL_VERSION,
            }),
        };
        connection.push(&answered.unwrap_or_else(|event| event));
    }

    fn accept(&mut self) {
        while self.connections.len() < MAX_CONNECTIONS {
            // A caller that is gone already, or no descriptor left: the loop goes on either way.
            let Ok((stream, _)) = self.listener.accept() else { return };
            self.connections.extend(Connection::new(stream));
        }
    }
}

/// Only root may enter the directory, and only root may connect.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
