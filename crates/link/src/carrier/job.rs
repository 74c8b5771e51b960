//! One job: what the service does not have of it yet, and when that is sent.

use std::time::Duration;

use runner::protocol::{Exit, Offsets, Output, Request, Start, Stream};

use super::RESEND_AFTER;
use crate::frame::{Bytes, End, Piece, Report};

/// How long after the first event a report is sent, unless the command ends before: each report is billed like a command.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// How often a command's output is reported, unless it is much.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// No more is read from the runner while this much output is not stored. With the longest piece of the
/// runner, 64 KiB, a report is 118 KiB of text.
const MAX_UNSTORED: usize = 24 << 10;

/// A job that the service wants to hear of.
#[derive(Debug)]
pub(super) struct Carried {
    /// The request to start the job, until the runner has answered it.
    start: Option<Start>,
    connection: Option<u64>,
    /// Whether an event of the connection was requested and has not come.
    is_reading: bool,
    /// When a connection is opened, if there is none.
    open_at: Duration,
    /// What the service has.
    stored: Offsets,
    /// Where the output ends that was read.
    read: Offsets,
    /// Output that was read and is not stored.
    unstored: Vec<Piece>,
    end: Option<Exit>,
    /// When the next report is due.
    report_at: Option<Duration>,
    /// When the report was sent whose answer has not come.
    sent_at: Option<Duration>,
    last_sent: Option<Duration>,
}

pub(super) enum Next {
    Report(Unnamed),
    Read(u64),
    Open,
}

/// A report without the name of its job.
pub(super) struct Unnamed {
    output: Vec<Piece>,
    end: Option<Box<End>>,
}

impl Unnamed {
    pub(super) fn of(self, job: String) -> Report {
        Report { job, output: self.output, end: self.end }
    }
}

impl Carried {
    pub(super) fn new(start: Start, now: Duration) -> Self {
        Self {
            stored: start.from,
            read: start.from,
            start: Some(start),
            connection: None,
            is_reading: false,
            open_at: now,
            unstored: Vec::new(),
            end: None,
            report_at: None,
            sent_at: None,
            last_sent: None,
        }
    }

    pub(super) const fn connection(&self) -> Option<u64> {
        self.connection
    }

    /// The request of a new connection: the first start again until the runner has answered one.
    pub(super) fn open(&mut self, id: &str, connection: u64) -> Request {
        self.connection = Some(connection);
        self.is_reading = false;
        match &self.start {
            Some(start) => Request::Start(start.clone()),
            None => Request::Attach { job_id: id.to_owned(), from: self.read },
        }
    }

    /// The event that was requested has come.
    pub(super) fn is_answered(&mut self) {
        self.is_reading = false;
    }

    pub(super) fn closed(&mut self, open_at: Duration) {
        self.connection = None;
        self.open_at = open_at;
    }

    pub(super) fn started(&mut self, now: Duration) {
        self.start = None;
        self.plan(now);
    }

    pub(super) fn output(&mut self, output: Output, now: Duration) {
        self.start = None;
        let (stored, read) = match output.stream {
            Stream::Stdout => (self.stored.stdout, &mut self.read.stdout),
            Stream::Stderr => (self.stored.stderr, &mut self.read.stderr),
        };
        let piece = Piece {
            stream: output.stream,
            from: *read,
            offset: output.offset,
            data: Bytes(output.bytes),
        };
        *read = piece.end();
        self.unstored.extend(behind(piece, stored));
        self.plan(now);
    }

    pub(super) fn ended(&mut self, exit: Exit, now: Duration) {
        self.start = None;
        self.connection = None;
        self.end = Some(exit);
        self.plan(now);
    }

    /// The service has stored the output before these offsets. It never has less later.
    pub(super) fn stored(&mut self, stdout: u64, stderr: u64, now: Duration) {
        if stdout < self.stored.stdout || stderr < self.stored.stderr {
            // An answer that is late.
            return;
        }
        self.stored = Offsets { stdout, stderr };
        self.read.stdout = self.read.stdout.max(stdout);
        self.read.stderr = self.read.stderr.max(stderr);
        let unstored = std::mem::take(&mut self.unstored).into_iter();
        let unstored = unstored.filter_map(|piece| {
            let stored = of(self.stored, &piece);
            behind(piece, stored)
        });
        self.unstored = unstored.collect();
        self.sent_at = None;
        self.report_at = None;
        if self.end.is_some() && self.unstored.is_empty() {
            // All of it was reported, and the service did not take the end: it tries again later.
            self.report_at = Some(now + GATHER_TIME);
        } else if self.end.is_some() || !self.unstored.is_empty() {
            self.plan(now);
        }
    }

    pub(super) fn report_soon(&mut self, now: Duration) {
        // Before the runner's answer there is nothing to report.
        if self.start.is_none() {
            self.report_at = Some(now);
        }
    }

    /// What was sent may be lost.
    pub(super) fn send_again(&mut self, now: Duration) {
        if self.sent_at.take().is_some() {
            self.report_at = Some(now);
        }
    }

    pub(super) fn next(&mut self, is_connected: bool, now: Duration) -> Option<Next> {
        if is_connected && self.report_due().is_some_and(|at| at <= now) {
            self.report_at = None;
            self.sent_at = Some(now);
            self.last_sent = Some(now);
            return Some(Next::Report(self.report()));
        }
        match self.connection {
            None if self.end.is_none() && self.open_at <= now => Some(Next::Open),
            Some(connection) if !self.is_reading && self.has_room() => {
                self.is_reading = true;
                Some(Next::Read(connection))
            }
            _ => None,
        }
    }

    pub(super) fn due(&self, is_connected: bool) -> Option<Duration> {
        let report = self.report_due().filter(|_| is_connected);
        let open = (self.connection.is_none() && self.end.is_none()).then_some(self.open_at);
        report.into_iter().chain(open).min()
    }

    /// While an answer is awaited, only the same report is due.
    fn report_due(&self) -> Option<Duration> {
        match self.sent_at {
            Some(sent) => Some(sent + RESEND_AFTER),
            None => self.report_at,
        }
    }

    fn report(&self) -> Unnamed {
        let end = self.end.clone().map(|exit| Box::new(End { exit, at: self.read }));
        Unnamed { output: self.unstored.clone(), end }
    }

    fn has_room(&self) -> bool {
        self.unstored.iter().map(|piece| piece.data.0.len()).sum::<usize>() <= MAX_UNSTORED
    }

    /// Plans the next report after something has happened.
    fn plan(&mut self, now: Duration) {
        let at = if self.end.is_some() || !self.has_room() {
            now
        } else {
            self.last_sent.map_or(now + FIRST_DELAY, |last| (last + GATHER_TIME).max(now))
        };
        self.report_at = Some(self.report_at.map_or(at, |planned| planned.min(at)));
    }
}

fn of(offsets: Offsets, piece: &Piece) -> u64 {
    match piece.stream {
        Stream::Stdout => offsets.stdout,
        Stream::Stderr => offsets.stderr,
    }
}

/// The part of the piece that is not stored, if there is one.
fn behind(mut piece: Piece, stored: u64) -> Option<Piece> {
    if piece.end() <= stored {
        return None;
    }
    if let Some(known) = stored.checked_sub(piece.offset) {
        piece.data.0.drain(..usize::try_from(known).ok()?);
        piece.offset = stored;
    }
    piece.from = piece.from.max(stored);
    Some(piece)
}
