//! The side of the task: carries between the WebSocket and the runner's socket.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use runner::protocol::{Cause, Event, Exit, Request, Start};

use crate::{
    carrier::{
        job::{Carried, Next},
        requests::Requests,
    },
    frame::{FromRunner, ToRunner},
    parts::Incomplete,
};

mod job;
mod requests;

/// How long an answer to a frame may take before the frame is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// How long a job waits that the runner can't start now, or whose connection was closed.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// What the caller of [`Carrier`] must do. A connection is one of the runner's socket, by its number.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this frame. If the WebSocket is lost instead, so is the frame.
    Send(FromRunner),
    /// Open this connection to the runner and send the request, whose answers are events of a job.
    Open(u64, Request),
    /// Read one event of this connection, and report it by [`Carrier::event`].
    Read(u64),
    /// Close this connection, of which nothing is reported any more.
    Close(u64),
    /// Send this request to the runner over a connection of its own. Its answer does not matter.
    Request(Request),
    /// Send this request to the runner over a connection of its own, and report its answer by
    /// [`Carrier::answered`] with this number.
    Ask(u64, Request),
    /// Use this token for the next WebSocket.
    UseToken(String),
}

/// The state of all jobs of a task as far as the service does not know it. The time is that since any fixed
/// moment.
#[derive(Debug, Default)]
pub struct Carrier {
    jobs: BTreeMap<String, Carried>,
    incomplete: Incomplete,
    requests: Requests,
    actions: VecDeque<Action>,
    last_connection: u64,
    is_connected: bool,
    /// When `hello` is sent, until it was answered.
    hello_at: Option<Duration>,
}

impl Carrier {
    /// A WebSocket was opened. What was sent over an earlier one may be lost.
    pub fn connected(&mut self, now: Duration) {
        self.is_connected = true;
        self.hello_at = Some(now);
        self.jobs.values_mut().for_each(|job| job.send_again(now));
    }

    /// The WebSocket was lost.
    pub fn disconnected(&mut self) {
        self.is_connected = false;
        self.actions.retain(|action| !matches!(action, Action::Send(_)));
    }

    /// A frame has come.
    pub fn frame(&mut self, frame: ToRunner, now: Duration) {
        match frame {
            ToRunner::Run { job, id, part, of, data } => {
                let start = self.incomplete.add(&id, part, of, data);
                if let Some(start) = start.filter(|start| start.job_id == job) {
                    self.run(start, now);
                }
            }
            ToRunner::Stored { job, over: true, .. } => {
                if let Some(job) = self.jobs.remove(&job) {
                    self.actions.extend(job.connection().map(Action::Close));
                }
                self.actions.push_back(Action::Request(Request::Release { job_id: job }));
            }
            ToRunner::Stored { job, stdout, stderr, over: false } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.stored(stdout, stderr, now);
                }
            }
            ToRunner::Signal { job, id, signal } => {
                self.request(id, Request::Signal { job_id: job, signal }, now);
            }
            ToRunner::Cancel { job, id } => {
                self.request(id, Request::Cancel { job_id: job }, now);
            }
            ToRunner::Deadline { id, after_ms } => {
                self.request(id, Request::SetDeadline { after_ms }, now);
            }
            ToRunner::Token { token } => {
                self.hello_at = None;
                self.actions.push_back(Action::UseToken(token));
            }
        }
    }

    fn request(&mut self, id: String, request: Request, now: Duration) {
        let done = self.requests.add(id, request, now);
        self.done(done);
    }

    /// The runner's answer to [`Action::Ask`]; `None` if none came.
    pub fn answered(&mut self, number: u64, answer: Option<&Event>, now: Duration) {
        let done = self.requests.answered(number, answer, now);
        self.done(done);
    }

    /// If this is lost, the service repeats the request.
    fn done(&mut self, id: Option<String>) {
        if self.is_connected {
            self.actions.extend(id.map(|id| Action::Send(FromRunner::Done { id })));
        }
    }

    /// The runner has sent this event on a connection.
    pub fn event(&mut self, connection: u64, event: Event, now: Duration) {
        let Some((id, job)) = self.of_connection(connection) else { return };
        job.is_answered();
        match event {
            Event::Started => job.started(now),
            Event::Output(output) => job.output(output, now),
            Event::Exited(exit) => {
                job.ended(exit, now);
                self.actions.push_back(Action::Close(connection));
            }
            Event::Error { message, retryable: false } => {
                // The runner refuses it for good.
                let cause = Cause::SpawnFailed { message, not_executable: false };
                job.ended(Exit::not_run(cause), now);
                self.actions.push_back(Action::Close(connection));
            }
            Event::Error { retryable: true, .. } => {
                job.closed(now + REOPEN_AFTER);
                self.actions.push_back(Action::Close(connection));
            }
            // The runner has never seen the job, so there is nothing to report. The service asks again.
            Event::Unknown => {
                let id = id.clone();
                self.jobs.remove(&id);
                self.actions.push_back(Action::Close(connection));
            }
            Event::Ready { .. } | Event::Ok => {}
        }
    }

    /// A connection was closed, or could not be opened.
    pub fn closed(&mut self, connection: u64, now: Duration) {
        if let Some((_, job)) = self.of_connection(connection) {
            job.closed(now + REOPEN_AFTER);
        }
    }

    /// What to do next; `None` until the time of [`Carrier::due`], or until something happens.
    pub fn poll(&mut self, now: Duration) -> Option<Action> {
        if self.is_connected && self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = Some(now + RESEND_AFTER);
            let jobs = self.jobs.keys().cloned().collect();
            return Some(Action::Send(FromRunner::Hello { jobs }));
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if let Some((number, request)) = self.requests.next(now) {
            return Some(Action::Ask(number, request));
        }
        for (id, job) in &mut self.jobs {
            match job.next(self.is_connected, now) {
                Some(Next::Report(report)) => {
                    let job = id.clone();
                    return Some(Action::Send(FromRunner::Report(report.of(job))));
                }
                Some(Next::Read(connection)) => return Some(Action::Read(connection)),
                Some(Next::Open) => {
                    self.last_connection += 1;
                    let request = job.open(id, self.last_connection);
                    return Some(Action::Open(self.last_connection, request));
                }
                None => {}
            }
        }
        None
    }

    /// When [`Carrier::poll`] has something to do even if nothing happens.
    pub fn due(&self) -> Option<Duration> {
        let jobs = self.jobs.values().filter_map(|job| job.due(self.is_connected));
        let hello = self.hello_at.filter(|_| self.is_connected);
        jobs.chain(hello).chain(self.requests.due()).min()
    }

    /// Whether the service knows all of every job, so that the process may end.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.actions.is_empty() && self.requests.is_empty()
    }

    fn run(&mut self, start: Start, now: Duration) {
        match self.jobs.get_mut(&start.job_id) {
            // The service has not heard of it for long.
            Some(job) => job.report_soon(now),
            None => {
                let id = start.job_id.clone();
                self.jobs.insert(id, Carried::new(start, now));
            }
        }
    }

    fn of_connection(&mut self, connection: u64) -> Option<(&String, &mut Carried)> {
        self.jobs.iter_mut().find(|(_, job)| job.connection() == Some(connection))
    }
}

#[cfg(test)]
pub(crate) mod tests;
