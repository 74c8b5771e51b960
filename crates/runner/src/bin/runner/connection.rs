//! A caller's connection: its requests, the job it follows, and the bytes not sent to it yet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use runner::protocol::marks::MAX_MARK_BYTES;
use runner::protocol::{
    Decoder, Event, Message, Offsets, Output, ProtocolError, Request, Stream, Total,
};
use rustix::event::PollFlags;

use crate::capture;
use crate::jobs::{Jobs, Progress, View};

/// Largest number of output bytes in one frame.
const CHUNK_BYTES: usize = 64 << 10;
/// Requests of a caller are not read while more than this many bytes wait to be sent to it.
const MAX_UNSENT_BYTES: usize = 256 << 10;
/// Largest number of chunks sent to one caller before the loop serves the others.
const CHUNKS_PER_POLL: usize = 16;

/// Output of a terminal that follows other output within this time waits until then for more. A terminal hands
/// over 4 KiB at once, and each piece would wake every process up to the client's.
const GATHER_TIME: Duration = Duration::from_millis(1);
/// So many bytes do not wait.
const GATHER_BYTES: u64 = 32 << 10;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    decoder: Decoder<Request>,
    unsent: Vec<u8>,
    follow: Option<Follow>,
    /// The caller sends nothing more; the connection is closed when everything was sent to it.
    finished: bool,
    /// Reading or writing failed.
    failed: bool,
}

/// The job that a connection follows, and how much of its output was sent.
#[derive(Debug)]
struct Follow {
    job_id: String,
    view: View,
    readers: [Reader; 2],
    /// When output was sent last.
    sent_at: Option<Instant>,
}

#[derive(Debug)]
struct Reader {
    stream: Stream,
    file: Option<Rc<File>>,
    offset: u64,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            unsent: Vec::new(),
            follow: None,
            finished: false,
            failed: false,
        })
    }

    /// `may_receive` tells whether the runner has room for what the caller may have typed.
    pub(crate) fn interest(&self, may_receive: bool) -> PollFlags {
        let mut interest = PollFlags::empty();
        let has_room = may_receive && self.unsent.len() < MAX_UNSENT_BYTES;
        interest.set(PollFlags::IN, !self.finished && has_room);
        interest.set(PollFlags::OUT, !self.unsent.is_empty());
        interest
    }

    pub(crate) fn is_over(&self) -> bool {
        self.failed || (self.finished && self.follow.is_none() && self.unsent.is_empty())
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.failed && (self.follow.is_some() || !self.unsent.is_empty())
    }

    /// Reads what the caller has sent and calls `answer` for each request.
    pub(crate) fn receive(&mut self, ready: PollFlags, mut answer: impl FnMut(&mut Self, Request)) {
        if ready.contains(PollFlags::IN) {
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => self.finished = true,
                Ok(count) => self.decoder.feed(&piece[..count]),
                Err(error) if would_block(&error) => {}
                Err(_) => self.failed = true,
            }
            while !self.finished {
                match self.decoder.next() {
                    Ok(Some(request)) => answer(self, request),
                    Ok(None) => break,
                    Err(error) => self.reject(error),
                }
            }
        } else if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            // Checked after IN: a caller may send a request and close the connection at once.
            self.failed = true;
        }
    }

    fn reject(&mut self, error: ProtocolError) {
        self.push(&Event::Error { message: error.to_string(), retryable: false });
        self.finished = true;
    }

    pub(crate) fn push(&mut self, event: &Event) {
        // No frame of the runner is near the limit: output is sent in chunks, and messages are short.
        self.failed |= event.encode_into(&mut self.unsent).is_err();
    }

    /// Whether the caller has sent nothing after its last request and waits for nothing else.
    pub(crate) fn can_be_given_away(&self) -> bool {
        self.decoder.is_empty() && self.unsent.is_empty() && self.follow.is_none()
    }

    /// Another process has the connection now.
    pub(crate) fn give_away(&mut self) {
        self.failed = true;
    }

    pub(crate) fn is_following(&self) -> bool {
        self.follow.is_some()
    }

    /// The job whose terminal the connection has opened, and how much of its output was sent.
    pub(crate) fn terminal(&self) -> Option<(&str, u64)> {
        let follow = self.follow.as_ref().filter(|follow| follow.view == View::Terminal)?;
        let [output, _] = &follow.readers;
        Some((&follow.job_id, output.offset))
    }

    /// Follows a known job: sends its output from the offsets on, then its end.
    pub(crate) fn follow(&mut self, job_id: String, from: Offsets, view: View, jobs: &Jobs) {
        let (ran, [stdout, _]) = match jobs.progress(&job_id, view) {
            Progress::Running(totals) => (true, totals),
            Progress::Ended(exit) => (exit.cause.ran(), [exit.stdout, exit.stderr]),
        };
        if ran {
            self.push(&Event::Started);
        }
        let start = match view {
            View::Job => from.stdout,
            View::Terminal => from.stdout.min(stdout.bytes),
        };
        let streams = [(Stream::Stdout, start), (Stream::Stderr, from.stderr)];
        let readers = streams.map(|(stream, offset)| Reader {
            stream,
            file: jobs.output(&job_id, stream),
            offset,
        });
        self.follow = Some(Follow { job_id, view, readers, sent_at: None });
    }

    /// When output that waits for more must be sent.
    pub(crate) fn due(&self, jobs: &Jobs) -> Option<Instant> {
        let follow = self.follow.as_ref().filter(|_| self.unsent.is_empty())?;
        match jobs.progress(&follow.job_id, follow.view) {
            Progress::Running([total, _]) => follow.gathers_until(total),
            Progress::Ended(_) => None,
        }
    }

    /// Sends as much as the caller accepts without blocking.
    pub(crate) fn send(&mut self, jobs: &Jobs, now: Instant) {
        for _ in 0..CHUNKS_PER_POLL {
            self.refill(jobs, now);
            if self.failed || self.unsent.is_empty() || !self.flush() {
                return;
            }
        }
        // Unsent bytes make the loop poll for OUT, so that the rest is sent next time.
        self.refill(jobs, now);
    }

    /// Encodes the next events of the followed job, once everything before them was sent.
    fn refill(&mut self, jobs: &Jobs, now: Instant) {
        let Some(follow) = self.follow.as_mut().filter(|_| self.unsent.is_empty()) else { return };
        let progress = jobs.progress(&follow.job_id, follow.view);
        let mut totals = match &progress {
            Progress::Running([total, _])
                if follow.gathers_until(*total).is_some_and(|until| now < until) =>
            {
                return;
            }
            Progress::Running(totals) => *totals,
            Progress::Ended(exit) => [exit.stdout, exit.stderr],
        };
        if follow.view == View::Terminal {
            // The second stream is the recording.
            totals[1] = Total::default();
        }
        let outputs = follow.next(totals);
        if !outputs.is_empty() {
            follow.sent_at = Some(now);
        }
        if let (true, Progress::Ended(exit)) = (outputs.is_empty(), progress) {
            self.follow = None;
            self.push(&Event::Exited(exit));
        }
        outputs.into_iter().for_each(|output| self.push(&Event::Output(output)));
    }

    /// Writes the unsent bytes; false if the caller does not accept all of them now.
    fn flush(&mut self) -> bool {
        match self.stream.write(&self.unsent) {
            Ok(count) => {
                self.unsent.drain(..count);
                if self.unsent.is_empty() {
                    // Frees the memory of an idle connection.
                    self.unsent = Vec::new();
                }
            }
            Err(error) if would_block(&error) => {}
            Err(_) => self.failed = true,
        }
        self.unsent.is_empty()
    }
}

impl Follow {
    /// The next piece of each stream. Marks of merged output come before the bytes that follow them: the second
    /// stream first, and while there may be more of them, alone.
    fn next(&mut self, [stdout, stderr]: [Total; 2]) -> Vec<Output> {
        let [first, second] = &mut self.readers;
        let second = second.next(stderr);
        let is_whole = second.as_ref().is_some_and(|piece| piece.bytes.len() == CHUNK_BYTES);
        let may_be_marks = stderr.bytes <= MAX_MARK_BYTES;
        let first = if is_whole && may_be_marks { None } else { first.next(stdout) };
        second.into_iter().chain(first).collect()
    }

    /// Until when the output that was not sent yet waits for more.
    fn gathers_until(&self, total: Total) -> Option<Instant> {
        let [output, _] = &self.readers;
        let unsent = total.bytes.saturating_sub(output.offset);
        let is_little = self.view == View::Terminal && (1..GATHER_BYTES).contains(&unsent);
        self.sent_at.filter(|_| is_little).map(|sent_at| sent_at + GATHER_TIME)
    }
}

impl Reader {
    /// The next chunk of the kept bytes, read from the job's output file.
    fn next(&mut self, total: Total) -> Option<Output> {
        if self.offset >= total.head() && total.tail > 0 {
            // Skips the bytes between head and tail, which were not kept.
            self.offset = self.offset.max(total.bytes - total.tail);
        }
        let (position, left) = capture::locate(total, self.offset);
        if left == 0 {
            return None;
        }
        let mut bytes = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count = self.file.as_ref()?.read_at(&mut bytes, position).ok()?;
        bytes.truncate(count);
        let offset = self.offset;
        self.offset += count as u64;
        (count > 0).then_some(Output { stream: self.stream, offset, bytes })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
