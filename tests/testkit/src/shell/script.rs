//! What a command does, and the process that does it.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Command, Concurrency, Keep},
    job::{BackgroundProcess, Exit, ShellUse},
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
    leaves: Vec<BackgroundProcess>,
    ends_its_shell: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            output: Vec::new(),
            lasts: Duration::ZERO,
            cause: EndCause::Exited,
            exit: Some(Exit::Code(0)),
            leaves: Vec::new(),
            ends_its_shell: false,
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

    /// Leaves this process running at its end.
    pub fn leaves(mut self, process: BackgroundProcess) -> Self {
        self.leaves.push(process);
        self
    }

    /// Ends the shell that it shares with other commands.
    pub fn ends_shell(mut self) -> Self {
        self.ends_its_shell = true;
        self
    }

    pub(super) const fn ends_its_shell(&self) -> bool {
        self.ends_its_shell
    }

    /// Ends for this cause, as the runner reports it.
    pub fn ends(mut self, cause: EndCause, exit: Option<Exit>) -> Self {
        (self.cause, self.exit) = (cause, exit);
        self
    }
}

/// The time of a write or of its report, the stream, the offset, the bytes.
pub(super) type Piece = (Timestamp, Stream, u64, Vec<u8>);

/// A command that was started, or was cancelled before its start.
pub(super) struct Process {
    written: Vec<Piece>,
    /// The kept part of what was written, in the order in which it is reported.
    pieces: Vec<Piece>,
    /// How many bytes are kept of the beginning and of the end of each stream.
    limits: (u64, u64),
    /// Whether stderr carries the marks of merged output, all of which are kept.
    has_marks: bool,
    pub(super) ran: bool,
    pub(super) serial: bool,
    /// Whether the end was sent, or its time has passed at least once.
    pub(super) over: bool,
    released: bool,
    pub(super) ends_at: Timestamp,
    pub(super) end: CommandEnd,
}

impl Process {
    pub(super) fn begin(
        script: &Script,
        command: &Command,
        shell: Option<ShellUse>,
        now: Timestamp,
    ) -> Self {
        let cap = command.max_output_bytes;
        let tail = match command.keep {
            Keep::Head => 0,
            Keep::Tail => cap,
            Keep::Both => cap / 2,
        };
        let mut process = Self {
            written: Vec::new(),
            pieces: Vec::new(),
            limits: (cap - tail, tail),
            has_marks: command.has_marks(),
            ran: !matches!(
                script.cause,
                EndCause::NotFound(_) | EndCause::NotExecutable(_) | EndCause::SpawnFailed(_)
            ),
            serial: command.concurrency == Concurrency::Serial,
            over: false,
            released: false,
            ends_at: now + script.lasts,
            end: CommandEnd {
                background: script.leaves.clone(),
                shell,
                ..CommandEnd::without_output(script.cause.clone(), script.exit)
            },
        };
        let mut output: Vec<_> = script.output.iter().collect();
        output.sort_by_key(|(after, ..)| *after);
        let (mut marked, mut last) = (0, None);
        for (after, stream, bytes) in output {
            let at = now + *after;
            if process.has_marks && last.replace(*stream) != Some(*stream) {
                let offset = process.total(Stream::Stdout);
                process.write(at, Stream::Stderr, &mark(offset - marked, *stream));
                marked = offset;
            }
            let stream = if command.merge { Stream::Stdout } else { *stream };
            process.write(at, stream, bytes);
        }
        process.pieces = process.kept_pieces();
        let deadline = now + command.timeout;
        if process.ends_at > deadline {
            process.cut(EndCause::TimedOut, Some(Exit::Signal(SIGTERM)), deadline);
        }
        process
    }

    /// The record of a command that was cancelled before its start.
    pub(super) fn never(now: Timestamp) -> Self {
        let end = CommandEnd::without_output(EndCause::Cancelled, None);
        let (ran, serial, over, released) = (false, false, true, false);
        let (written, pieces, limits, has_marks) = (Vec::new(), Vec::new(), (0, 0), false);
        Self { written, pieces, limits, has_marks, ran, serial, over, released, ends_at: now, end }
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
    pub(super) fn readable(&self) -> &[Piece] {
        if self.released { &[] } else { &self.pieces }
    }

    /// The kept bytes of a stream.
    pub(super) fn kept(&self, wanted: Stream) -> Vec<u8> {
        let own = self.pieces.iter().filter(|(_, stream, ..)| *stream == wanted);
        own.flat_map(|(.., bytes)| bytes.iter().copied()).collect()
    }

    fn write(&mut self, at: Timestamp, stream: Stream, bytes: &[u8]) {
        let written = match stream {
            Stream::Stdout => &mut self.end.stdout_written,
            Stream::Stderr => &mut self.end.stderr_written,
        };
        self.written.push((at, stream, *written, bytes.to_vec()));
        *written += bytes.len() as u64;
    }

    /// What is kept: the head of each stream, reported as it is written, and the tail, reported at the
    /// end.
    fn kept_pieces(&self) -> Vec<Piece> {
        let limits = |piece: &Piece| match piece.1 {
            Stream::Stderr if self.has_marks => (u64::MAX, 0),
            Stream::Stdout | Stream::Stderr => self.limits,
        };
        let heads = self.written.iter().map(|piece| part(piece, 0, limits(piece).0, piece.0));
        let tails = self.written.iter().map(|piece| {
            let (head, tail) = limits(piece);
            let total = self.total(piece.1);
            let from = if total > head.saturating_add(tail) { total - tail } else { head };
            part(piece, from.max(head), u64::MAX, self.ends_at)
        });
        heads.chain(tails).filter(|(.., bytes)| !bytes.is_empty()).collect()
    }

    fn total(&self, wanted: Stream) -> u64 {
        let own = self.written.iter().filter(|(_, stream, ..)| *stream == wanted);
        own.map(|(.., bytes)| bytes.len() as u64).sum()
    }

    /// Ends the command at this time, if it still runs then. Later writes do not happen.
    fn cut(&mut self, cause: EndCause, exit: Option<Exit>, at: Timestamp) {
        if self.ends_at <= at {
            return;
        }
        self.ends_at = at;
        self.written.retain(|(written_at, ..)| *written_at <= at);
        self.pieces = self.kept_pieces();
        let (stdout_written, stderr_written) =
            (self.total(Stream::Stdout), self.total(Stream::Stderr));
        let shell = self.end.shell;
        self.end = CommandEnd {
            stdout_written,
            stderr_written,
            shell,
            ..CommandEnd::without_output(cause, exit)
        };
    }
}

/// A mark of merged output, as [`domain::marks`] reads it.
fn mark(distance: u64, stream: Stream) -> Vec<u8> {
    let mut rest = distance << 2 | u64::from(stream == Stream::Stderr);
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

/// The part of a piece between two offsets of its stream, reported at this time.
fn part((_, stream, offset, bytes): &Piece, from: u64, to: u64, at: Timestamp) -> Piece {
    let index = |wanted: u64| {
        usize::try_from(wanted.saturating_sub(*offset)).unwrap_or(usize::MAX).min(bytes.len())
    };
    let (from, to) = (index(from), index(to));
    let kept = bytes.get(from..to).unwrap_or_default().to_vec();
    (at, *stream, offset + from as u64, kept)
}
