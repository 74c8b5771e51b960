//! What a command does, and the process that does it.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Command, Concurrency},
    job::{Exit, Usage},
    ports::{CommandEnd, EndCause, Stream},
};

const SIGTERM: i32 = 15;

/// What a command does when it runs. The default succeeds at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    output: Vec<(Duration, Stream, Vec<u8>)>,
    lasts: Duration,
    cause: EndCause,
    exit: Option<Exit>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            output: Vec::new(),
            lasts: Duration::ZERO,
            cause: EndCause::Exited,
            exit: Some(Exit::Code(0)),
        }
    }
}

impl Script {
    /// Prints `text` to stdout at once and succeeds.
    pub fn prints(text: &str) -> Self {
        Self::default().then(Duration::ZERO, Stream::Stdout, text)
    }

    /// Writes `text` this long after the start.
    pub fn then(mut self, after: Duration, stream: Stream, text: &str) -> Self {
        self.output.push((after, stream, text.as_bytes().to_vec()));
        self.lasts = self.lasts.max(after);
        self
    }

    /// Runs at least this long.
    pub fn lasts(mut self, span: Duration) -> Self {
        self.lasts = self.lasts.max(span);
        self
    }

    /// Ends with this exit code.
    pub fn exits(mut self, code: i32) -> Self {
        self.exit = Some(Exit::Code(code));
        self
    }

    /// Ends for this cause, as the runner reports it.
    pub fn ends(mut self, cause: EndCause, exit: Option<Exit>) -> Self {
        (self.cause, self.exit) = (cause, exit);
        self
    }
}

/// A command that was started, or was cancelled before its start.
pub(super) struct Process {
    /// For each kept piece: the time of the write, the stream, the offset, the bytes.
    pub(super) pieces: Vec<(Timestamp, Stream, u64, Vec<u8>)>,
    pub(super) ran: bool,
    pub(super) serial: bool,
    /// Whether the end was sent, or its time has passed at least once.
    pub(super) over: bool,
    released: bool,
    pub(super) ends_at: Timestamp,
    pub(super) end: CommandEnd,
}

impl Process {
    pub(super) fn begin(script: &Script, command: &Command, now: Timestamp) -> Self {
        let mut process = Self {
            pieces: Vec::new(),
            ran: !matches!(script.cause, EndCause::NotFound(_) | EndCause::SpawnFailed(_)),
            serial: command.concurrency == Concurrency::Serial,
            over: false,
            released: false,
            ends_at: now + script.lasts,
            end: end(script.cause.clone(), script.exit),
        };
        let mut output: Vec<_> = script.output.iter().collect();
        output.sort_by_key(|(after, ..)| *after);
        for (after, stream, bytes) in output {
            process.write(now + *after, *stream, bytes, command.max_output_bytes);
        }
        let deadline = now + command.timeout;
        if process.ends_at > deadline {
            process.cut(EndCause::TimedOut, Some(Exit::Signal(SIGTERM)), deadline);
        }
        process
    }

    /// The record of a command that was cancelled before its start.
    pub(super) fn never(now: Timestamp) -> Self {
        let end = end(EndCause::Cancelled, None);
        let (ran, serial, over, released) = (false, false, true, false);
        Self { pieces: Vec::new(), ran, serial, over, released, ends_at: now, end }
    }

    pub(super) fn signal(&mut self, signal: i32, now: Timestamp) {
        self.cut(EndCause::Exited, Some(Exit::Signal(signal)), now);
    }

    pub(super) fn cancel(&mut self, now: Timestamp) {
        self.cut(EndCause::Cancelled, Some(Exit::Signal(SIGTERM)), now);
    }

    pub(super) const fn release(&mut self) {
        self.released = true;
    }

    /// The pieces that can still be read; none after the release.
    pub(super) fn readable(&self) -> &[(Timestamp, Stream, u64, Vec<u8>)] {
        if self.released { &[] } else { &self.pieces }
    }

    /// The kept bytes of a stream.
    pub(super) fn kept(&self, wanted: Stream) -> Vec<u8> {
        let own = self.pieces.iter().filter(|(_, stream, ..)| *stream == wanted);
        own.flat_map(|(.., bytes)| bytes.iter().copied()).collect()
    }

    fn write(&mut self, at: Timestamp, stream: Stream, bytes: &[u8], cap: u64) {
        let written = match stream {
            Stream::Stdout => &mut self.end.stdout_written,
            Stream::Stderr => &mut self.end.stderr_written,
        };
        let offset = *written;
        *written += bytes.len() as u64;
        let kept = usize::try_from(cap.saturating_sub(offset)).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(kept)];
        if !kept.is_empty() {
            self.pieces.push((at, stream, offset, kept.to_vec()));
        }
    }

    /// Ends the command at this time, if it still runs then. Later writes do not happen.
    fn cut(&mut self, cause: EndCause, exit: Option<Exit>, at: Timestamp) {
        if self.ends_at <= at {
            return;
        }
        self.ends_at = at;
        self.pieces.retain(|(written_at, ..)| *written_at <= at);
        let total = |wanted: Stream| {
            let own = self.pieces.iter().filter(|(_, stream, ..)| *stream == wanted);
            own.map(|(.., bytes)| bytes.len() as u64).sum()
        };
        let (stdout_written, stderr_written) = (total(Stream::Stdout), total(Stream::Stderr));
        self.end = CommandEnd { stdout_written, stderr_written, ..end(cause, exit) };
    }
}

fn end(cause: EndCause, exit: Option<Exit>) -> CommandEnd {
    CommandEnd { cause, exit, stdout_written: 0, stderr_written: 0, usage: Usage::default() }
}
