//! The event loop: polls for output, ended processes, requests and deadlines, and handles them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use runner::protocol::{Event, Offsets, PROTOCOL_VERSION, Request, Stream};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::connection::Connection;
use crate::end::End;
use crate::input::Input;
use crate::job::Job;
use crate::jobs::{Jobs, RequestError, View};
use crate::link::Link;
use crate::members::Members;
use crate::merged::MergedPipes;
use crate::shell::ShellCommand;
use crate::sys::{self, Signals};
use crate::terminal::Terminal;

/// A connection takes up to three of the 1024 descriptors that a process usually may open.
const MAX_CONNECTIONS: usize = 128;
/// Longest time that a shutdown waits for jobs, which are killed after a few seconds. One that can't be killed,
/// because its cgroup can't be reached any more, must not keep the shell alive.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);
/// Longest time after the last job's end that a shutdown waits for callers to receive their events.
const SHUTDOWN_FLUSH: Duration = Duration::from_secs(1);
/// The same where a program reports to a service.
const SHUTDOWN_REPORT: Duration = Duration::from_secs(4);
/// A program on a terminal waits once this many bytes of its output were not sent yet.
const MAX_UNREAD_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    signals: Signals,
    jobs: Jobs,
    connections: Vec<Connection>,
    end: End,
    link: Option<Link>,
    shutdown: Option<Shutdown>,
}

#[derive(Debug)]
enum Shutdown {
    /// Jobs are stopped. Until then the runner waits for them; its own end ends the rest of the shell.
    Stopping(Instant),
    /// No job runs any more; callers may receive their events until then.
    Flushing(Instant),
}

/// Result of one poll(2).
struct Ready {
    listener: bool,
    signals: bool,
    /// Ready events of the owner's pipe.
    owner: PollFlags,
    /// Whether a pipe of the job is readable, in the order of the running jobs.
    jobs: Vec<bool>,
    /// Ready events of each connection, in the order of the connections.
    connections: Vec<PollFlags>,
}

impl Server {
    pub(crate) fn new(
        socket: &Path,
        signals: Signals,
        jobs: Jobs,
        end: End,
        link: Option<Link>,
    ) -> io::Result<Self> {
        let listener = listen(socket)?;
        Ok(Self { listener, signals, jobs, connections: Vec::new(), end, link, shutdown: None })
    }

    /// Serves until it is to shut down, by SIGTERM or by itself, and all jobs have ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.is_over(Instant::now()) {
            let may_tidy = self.shutdown.is_none() && self.jobs.is_untidy();
            match self.wait(may_tidy)? {
                Some(ready) => self.handle(&ready)?,
                None => self.jobs.tidy(),
            }
        }
        sys::kill_descendants();
        Ok(())
    }

    fn handle(&mut self, ready: &Ready) -> io::Result<()> {
        let now = Instant::now();
        self.jobs.transfer(&ready.jobs, now);
        if ready.signals {
            self.take_signals(now)?;
        }
        if self.end.is_due(ready.owner, now) {
            self.shut_down(now)?;
        }
        self.jobs.tick(now);
        self.link.iter_mut().for_each(|link| link.tick(now));
        self.serve(&ready.connections, now);
        if ready.listener {
            self.accept();
        }
        if let Some(Shutdown::Stopping(until)) = self.shutdown
            && (self.jobs.running.is_empty() || now >= until)
        {
            let flush = if self.link.is_some() { SHUTDOWN_REPORT } else { SHUTDOWN_FLUSH };
            self.link.iter_mut().for_each(Link::end);
            self.shutdown = Some(Shutdown::Flushing(now + flush));
        }
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(Shutdown::Flushing(until)) = self.shutdown else { return false };
        let reports = self.link.as_ref().is_some_and(Link::is_running);
        now >= until || !reports && !self.connections.iter().any(Connection::has_unsent)
    }

    /// Waits until something is to be done. With `only_check`, returns `None` if that is not now.
    fn wait(&self, only_check: bool) -> io::Result<Option<Ready>> {
        let may_accept = self.connections.len() < MAX_CONNECTIONS;
        let accept = if may_accept { PollFlags::IN } else { PollFlags::empty() };
        let mut fds =
            vec![PollFd::new(&self.listener, accept), PollFd::new(&self.signals, PollFlags::IN)];
        let connections = self.connections.iter();
        fds.extend(connections.map(|connection| {
            let interest = connection.interest(self.has_room_for_input(connection));
            PollFd::from_borrowed_fd(connection.as_fd(), interest)
        }));
        let pipes: Vec<(usize, PollFd<'_>)> = self.pipes().collect();
        let first_pipe = fds.len();
        fds.extend(pipes.iter().map(|(_, fd)| fd.clone()));
        let background = self.jobs.background.iter().flat_map(|background| &background.pipes);
        let first_background = fds.len();
        fds.extend(background.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let after_background = fds.len();
        if self.shutdown.is_none() {
            // Without requested events poll(2) reports the hangup only.
            let owner = self.end.owner();
            fds.extend(owner.map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::empty())));
        }
        let timeout = self.timeout();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_due = timeout.as_ref().is_some_and(|timeout| *timeout == at_once);
        let timeout = if only_check { Some(at_once) } else { timeout };
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) if only_check && !is_due => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut jobs = vec![false; self.jobs.running.len()];
        for ((job, _), fd) in pipes.iter().zip(&fds[first_pipe..first_background]) {
            jobs[*job] |= !fd.revents().is_empty();
        }
        Ok(Some(Ready {
            listener: !fds[0].revents().is_empty(),
            signals: !fds[1].revents().is_empty(),
            owner: fds.get(after_background).map_or(PollFlags::empty(), PollFd::revents),
            jobs,
            connections: fds[2..first_pipe].iter().map(PollFd::revents).collect(),
        }))
    }

    /// The pipes of running jobs, each with the index of its job.
    fn pipes(&self) -> impl Iterator<Item = (usize, PollFd<'_>)> {
        self.jobs.running.iter().enumerate().flat_map(|(index, job)| {
            let has_room = self.has_room_for_output(job);
            let read = job.streams.iter().filter(move |_| has_room);
            let read = read.filter_map(|stream| stream.pipe());
            let merged = job.merged.as_ref().filter(|_| has_room).and_then(MergedPipes::readable);
            let read = read.chain(merged).chain(job.reporter().and_then(Members::pipe));
            let read = read.chain(job.shell.as_ref().and_then(ShellCommand::end));
            let write = job.input.iter().map(Input::pipe);
            let typed = job.terminal.iter().filter(|terminal| terminal.has_waiting());
            let write = write.chain(typed.map(Terminal::fd));
            let write = write.map(|pipe| (pipe, PollFlags::OUT));
            let all = read.map(|pipe| (pipe, PollFlags::IN)).chain(write);
            all.map(move |(pipe, flags)| (index, PollFd::from_borrowed_fd(pipe, flags)))
        })
    }

    /// Whether more output of the job may be read. A program on a terminal waits while no connection that
    /// has opened the terminal keeps up with it; without a connection it never waits.
    fn has_room_for_output(&self, job: &Job) -> bool {
        let open = self.connections.iter().filter_map(Connection::terminal);
        let sent = open.filter(|(id, _)| *id == job.id).map(|(_, sent)| sent).max();
        sent.is_none_or(|sent| {
            job.kept(Stream::Stdout).bytes.saturating_sub(sent) < MAX_UNREAD_BYTES
        })
    }

    /// Whether more of what the connection types may be received.
    fn has_room_for_input(&self, connection: &Connection) -> bool {
        let Some((id, _)) = connection.terminal() else { return true };
        let job = self.jobs.running.iter().find(|job| job.id == id);
        job.and_then(|job| job.terminal.as_ref()).is_none_or(Terminal::has_room)
    }

    fn timeout(&self) -> Option<Timespec> {
        let shutdown = match self.shutdown {
            Some(Shutdown::Stopping(until) | Shutdown::Flushing(until)) => Some(until),
            None => None,
        };
        let end = self.end.at().filter(|_| self.shutdown.is_none());
        let now = Instant::now();
        let link = self.link.as_ref().and_then(Link::due);
        let gathered = self.connections.iter().filter_map(|connection| connection.due(&self.jobs));
        let due = self.jobs.due(now).into_iter().chain(shutdown).chain(end).chain(link);
        let due = due.chain(gathered).min()?;
        due.saturating_duration_since(now).try_into().ok()
    }

    fn take_signals(&mut self, now: Instant) -> io::Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.link.iter_mut().for_each(|link| link.reap(now));
                self.jobs.reap(now)?;
            } else {
                self.shut_down(now)?;
            }
        }
        Ok(())
    }

    fn shut_down(&mut self, now: Instant) -> io::Result<()> {
        if self.shutdown.is_none() {
            self.jobs.shut_down(now)?;
            self.shutdown = Some(Shutdown::Stopping(now + SHUTDOWN_LIMIT));
        }
        Ok(())
    }

    fn serve(&mut self, ready: &[PollFlags], now: Instant) {
        let mut connections = mem::take(&mut self.connections);
        for (connection, ready) in connections.iter_mut().zip(ready) {
            connection.receive(*ready, |connection, request| {
                self.answer(connection, request, now);
            });
            connection.send(&self.jobs, now);
        }
        connections.retain(|connection| !connection.is_over());
        self.connections = connections;
        for job in &mut self.jobs.running {
            let open = self.connections.iter().filter_map(Connection::terminal);
            let attached = open.map(|(id, _)| id).any(|id| id == job.id);
            job.terminal.iter_mut().for_each(|terminal| terminal.set_attached(attached, now));
        }
    }

    fn answer(&mut self, connection: &mut Connection, request: Request, now: Instant) {
        let answer = match request {
            Request::Start(_)
            | Request::Attach { .. }
            | Request::Terminal { .. }
            | Request::Files(_)
            | Request::Processes(_)
                if connection.is_following() =>
            {
                let message = "this connection already follows a job".to_owned();
                Err(RequestError::Failed { message, retryable: false })
            }
            Request::Start(start) => match self.jobs.start(&start) {
                Ok(()) => {
                    return connection.follow(start.job_id, start.from, View::Job, &self.jobs);
                }
                Err(error) => Err(error),
            },
            Request::Attach { job_id, from } => match self.jobs.known(&job_id) {
                Ok(()) => return connection.follow(job_id, from, View::Job, &self.jobs),
                Err(error) => Err(error),
            },
            Request::Terminal { job_id, from } => match self.jobs.check_terminal(&job_id) {
                Ok(()) => {
                    let from = Offsets { stdout: from, stderr: 0 };
                    return connection.follow(job_id, from, View::Terminal, &self.jobs);
                }
                Err(error) => Err(error),
            },
            Request::Input(input) => match self.terminal(connection) {
                Ok(terminal) => return terminal.write(&input.0),
                Err(error) => Err(error),
            },
            Request::Resize { cols, rows } => {
                let job_id = open_terminal(connection);
                match job_id.and_then(|job_id| self.jobs.resize(job_id, (cols, rows), now)) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Request::Files(_) | Request::Processes(_) if !connection.can_be_given_away() => {
                let message = "the caller of a transfer must wait for its first reply".to_owned();
                Err(RequestError::Failed { message, retryable: false })
            }
            Request::Files(request) => match self.jobs.open_files(request, connection.as_fd()) {
                Ok(()) => return connection.give_away(),
                Err(error) => Err(error),
            },
            Request::Processes(request) => {
                match self.jobs.open_processes(&request, connection.as_fd()) {
                    Ok(()) => return connection.give_away(),
                    Err(error) => Err(error),
                }
            }
            Request::Signal { job_id, signal } => self.jobs.signal(&job_id, signal, now),
            Request::Cancel { job_id } => self.jobs.cancel(&job_id, now),
            Request::Release { job_id } => self.jobs.release(&job_id),
            Request::SetDeadline { after_ms } => {
                self.end.set_deadline(Duration::from_millis(after_ms));
                Ok(())
            }
            Request::Probe => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                return connection.push(&Event::Ready { version, protocol: PROTOCOL_VERSION });
            }
        };
        connection.push(&answer.map_or_else(Event::from, |()| Event::Ok));
    }

    /// The terminal that the connection has opened.
    fn terminal(&mut self, connection: &Connection) -> Result<&mut Terminal, RequestError> {
        self.jobs.terminal(open_terminal(connection)?)
    }

    fn accept(&mut self) {
        while self.connections.len() < MAX_CONNECTIONS {
            // Fails if the caller has closed the connection or no descriptor is free; both are
            // temporary and must not end the loop.
            let Ok((stream, _)) = self.listener.accept() else { return };
            self.connections.extend(Connection::new(stream));
        }
    }
}

/// The job whose terminal the connection has opened.
fn open_terminal(connection: &Connection) -> Result<&str, RequestError> {
    let message = || "this connection has opened no terminal".to_owned();
    let refused = || RequestError::Failed { message: message(), retryable: false };
    connection.terminal().map(|(job_id, _)| job_id).ok_or_else(refused)
}

/// Creates the socket so that only the runner's own user can connect.
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
