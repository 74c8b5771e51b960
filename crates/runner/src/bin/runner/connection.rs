//! One caller: its requests, the job it follows, and what it has not taken yet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use runner::protocol::{Decoder, Event, Message, Offsets, Output, Request, Stream, Violation};
use rustix::event::PollFlags;

use crate::jobs::{Jobs, Progress};

/// Of output in one frame.
const CHUNK_BYTES: usize = 64 << 10;
/// A caller that takes no answers gets no more requests read.
const MAX_UNSENT_BYTES: usize = 256 << 10;
/// In one turn of the loop, so that one caller's flood holds up nobody else.
const CHUNKS_A_TURN: usize = 16;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    decoder: Decoder<Request>,
    unsent: Vec<u8>,
    follow: Option<Follow>,
    /// Nothing more comes in; it is closed when all that it asked for was sent.
    finished: bool,
    broken: bool,
}

/// The job that a connection follows, and how far it was sent.
#[derive(Debug)]
struct Follow {
    job_id: String,
    readers: [Reader; 2],
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
            broken: false,
        })
    }

    pub(crate) fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, !self.finished && self.unsent.len() < MAX_UNSENT_BYTES);
        interest.set(PollFlags::OUT, !self.unsent.is_empty());
        interest
    }

    pub(crate) fn is_over(&self) -> bool {
        self.broken || (self.finished && self.follow.is_none() && self.unsent.is_empty())
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.broken && (self.follow.is_some() || !self.unsent.is_empty())
    }

    /// Reads what has come; each request is answered into the unsent bytes.
    pub(crate) fn receive(&mut self, ready: PollFlags, mut answer: impl FnMut(&mut Self, Request)) {
        if ready.contains(PollFlags::IN) {
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => self.finished = true,
                Ok(count) => self.decoder.feed(&piece[..count]),
                Err(error) if would_block(&error) => {}
                Err(_) => self.broken = true,
            }
            while !self.finished {
                match self.decoder.next() {
                    Ok(Some(request)) => answer(self, request),
                    Ok(None) => break,
                    Err(violation) => self.give_up(violation),
                }
            }
        } else if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            // Only after all has been read: a caller may ask for something and be gone.
            self.broken = true;
        }
    }

    fn give_up(&mut self, violation: Violation) {
        self.push(&Event::Error { message: violation.to_string(), retryable: false });
        self.finished = true;
    }

    pub(crate) fn push(&mut self, event: &Event) {
        // The runner makes no frame near the limit: output is cut, and messages are short.
        self.broken |= event.encode_into(&mut self.unsent).is_err();
    }

    pub(crate) fn is_following(&self) -> bool {
        self.follow.is_some()
    }

    /// From now on gets a known job's output from the offsets, and its end.
    pub(crate) fn follow(&mut self, job_id: String, from: Offsets, jobs: &Jobs) {
        let ran = match jobs.progress(&job_id) {
            Progress::Running(_) => true,
            Progress::Ended(exit) => exit.cause.ran(),
        };
        if ran {
            self.push(&Event::Started);
        }
        let places = [(Stream::Stdout, from.stdout), (Stream::Stderr, from.stderr)];
        let readers = places.map(|(stream, offset)| Reader {
            stream,
            file: jobs.output(&job_id, stream),
            offset,
        });
        self.follow = Some(Follow { job_id, readers });
    }

    /// Sends what the caller takes, and refills from the job it follows.
    pub(crate) fn send(&mut self, jobs: &Jobs) {
        for _ in 0..CHUNKS_A_TURN {
            self.refill(jobs);
            if self.broken || self.unsent.is_empty() || !self.flush() {
                return;
            }
        }
        // What is unsent is what wakes the loop for the next turn.
        self.refill(jobs);
    }

    fn refill(&mut self, jobs: &Jobs) {
        let Some(follow) = self.follow.as_mut().filter(|_| self.unsent.is_empty()) else { return };
        let progress = jobs.progress(&follow.job_id);
        let kept = match &progress {
            Progress::Running(kept) => *kept,
            Progress::Ended(exit) => [exit.stdout.kept, exit.stderr.kept],
        };
        let outputs: Vec<Output> =
            follow.readers.iter_mut().zip(kept).filter_map(|(r, kept)| r.next(kept)).collect();
        if let (true, Progress::Ended(exit)) = (outputs.is_empty(), progress) {
            self.follow = None;
            self.push(&Event::Exited(exit));
        }
        outputs.into_iter().for_each(|output| self.push(&Event::Output(output)));
    }

    /// False if the caller takes no more for now.
    fn flush(&mut self) -> bool {
        match self.stream.write(&self.unsent) {
            Ok(count) => {
                self.unsent.drain(..count);
                if self.unsent.is_empty() {
                    // An idle connection holds no memory.
                    self.unsent = Vec::new();
                }
            }
            Err(error) if would_block(&error) => {}
            Err(_) => self.broken = true,
        }
        self.unsent.is_empty()
    }
}

impl Reader {
    /// The next piece below `kept`, read from the file when the caller is ready for it.
    fn next(&mut self, kept: u64) -> Option<Output> {
        let left = kept.checked_sub(self.offset).filter(|left| *left > 0)?;
        let mut bytes = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count = self.file.as_ref()?.read_at(&mut bytes, self.offset).ok()?;
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
