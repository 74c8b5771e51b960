//! Captures one output stream of a running job: moves bytes from its pipe into its file.
//!
//! The file holds the kept head of the stream and behind it, if the job keeps a tail, a circular buffer
//! of its last bytes. Until that buffer wraps, the position in the file is the offset in the stream.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use runner::protocol::{Keep, Total};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// Largest number of bytes discarded per poll, so that one job can't starve the others.
const SPLICE_BYTES: usize = 1 << 20;

/// A terminal hands over at most 4 KiB at once. The next piece is often there after one of at least this size, and
/// to read it costs less than to wait for it.
const LARGE_PIECE: usize = 1024;

/// What all captures share: a buffer for bytes to keep, and a target for bytes to discard.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) buffer: Box<[u8]>,
    /// `/dev/null`, into which splice(2) moves pages without copying them.
    pub(crate) null: File,
}

#[derive(Debug)]
pub(crate) struct Capture {
    /// `None` once everything to capture was read.
    pipe: Option<OwnedFd>,
    /// The pipe after that, if another process still holds its other end.
    held: Option<OwnedFd>,
    /// The pipe is a terminal.
    is_terminal: bool,
    file: Rc<File>,
    /// Bytes read from the pipe.
    bytes: u64,
    /// Largest number of bytes to keep from the start; lowered when the disk is full.
    head: u64,
    /// Size of the circular buffer behind them; lowered when the disk is full.
    tail: u64,
    /// After the job's end: how many bytes, written before the end, the pipe may still contain.
    rest: Option<usize>,
}

impl Capture {
    pub(crate) fn new(pipe: OwnedFd, file: File, limit: u64, keep: Keep) -> Self {
        Self { pipe: Some(pipe), ..Self::without_pipe(file, limit, keep) }
    }

    /// The capture of the last bytes that a terminal shows.
    pub(crate) fn of_terminal(terminal: OwnedFd, file: File, limit: u64) -> Self {
        Self { is_terminal: true, ..Self::new(terminal, file, limit, Keep::Tail) }
    }

    /// The capture of a stream that does not exist.
    pub(crate) fn none(file: File) -> Self {
        let file = Rc::new(file);
        Self {
            pipe: None,
            held: None,
            is_terminal: false,
            file,
            bytes: 0,
            head: 0,
            tail: 0,
            rest: None,
        }
    }

    /// The capture of a stream that has no pipe: its bytes are given to [`Capture::append`].
    pub(crate) fn without_pipe(file: File, limit: u64, keep: Keep) -> Self {
        let (head, tail) = parts(limit, keep);
        Self { head, tail, ..Self::none(file) }
    }

    pub(crate) fn file(&self) -> Rc<File> {
        Rc::clone(&self.file)
    }

    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// What is kept of the bytes read so far.
    pub(crate) fn total(&self) -> Total {
        let (bytes, limit) = (self.bytes, self.head + self.tail);
        if bytes <= limit {
            Total { bytes, kept: bytes, tail: 0 }
        } else {
            Total { bytes, kept: limit, tail: self.tail }
        }
    }

    /// How many bytes are kept of the beginning and of the end of a stream that is longer than both.
    pub(crate) fn limits(&self) -> (u64, u64) {
        (self.head, self.tail)
    }

    /// How many bytes from the start of the stream will be kept whatever follows them.
    pub(crate) fn settled(&self) -> u64 {
        self.bytes.min(self.head)
    }

    /// The job has ended. Captures what its pipe contains now, and nothing that another process writes
    /// to it later.
    pub(crate) fn finish(&mut self) {
        let capacity = |pipe: &OwnedFd| rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(1 << 20);
        self.rest = self.pipe.as_ref().map(capacity);
    }

    /// Writes bytes behind those that were captured so far.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.keep(bytes);
    }

    /// Reads what the pipe contains, up to a limit; never blocks. Returns the bytes, unless they were discarded.
    pub(crate) fn drain<'a>(&mut self, scratch: &'a mut Scratch) -> &'a [u8] {
        let Some(pipe) = &self.pipe else { return &[] };
        let mut read = 0;
        let keeps = self.tail > 0 || self.bytes < self.head;
        let taken = if keeps {
            read_piece(pipe, &mut scratch.buffer, self.is_terminal)
        } else {
            discard(pipe, scratch)
        };
        match taken {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                if keeps {
                    read = count;
                    self.keep(&scratch.buffer[..count]);
                } else {
                    self.bytes += count as u64;
                }
                self.rest = self.rest.map(|rest| rest.saturating_sub(count));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => self.rest = self.rest.map(|_| 0),
            // A pipe has no other errors; keeping it open would make the loop spin.
            Err(_) => self.pipe = None,
        }
        if self.rest == Some(0) {
            self.held = self.pipe.take();
        }
        &scratch.buffer[..read]
    }

    /// The pipe of a captured stream, if another process may still write to it.
    pub(crate) fn into_held_pipe(self) -> Option<OwnedFd> {
        self.held
    }

    /// Counts the bytes, and writes those that are kept to the file.
    fn keep(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (position, room) = self.position();
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let written = if room == 0 {
                bytes.len()
            } else {
                match self.file.write_at(&bytes[..room], position) {
                    Ok(count) if count > 0 => count,
                    Ok(_) | Err(_) => {
                        self.shrink(position);
                        continue;
                    }
                }
            };
            self.bytes += written as u64;
            bytes = &bytes[written..];
        }
    }

    /// Where the next byte goes in the file, and how many bytes may be written there at once.
    fn position(&self) -> (u64, u64) {
        match self.bytes.checked_sub(self.head) {
            None => (self.bytes, self.head - self.bytes),
            Some(_) if self.tail == 0 => (self.head, 0),
            Some(beyond) => {
                let place = beyond % self.tail;
                (self.head + place, self.tail - place)
            }
        }
    }

    /// The disk is full at this position of the file: keeps no more than what was written.
    fn shrink(&mut self, position: u64) {
        if self.bytes > position {
            // The buffer has wrapped before, so the file has its full size and only rewriting failed.
            self.tail = 0;
        } else if position < self.head {
            (self.head, self.tail) = (position, 0);
        } else {
            self.tail = position - self.head;
        }
    }
}

/// How many bytes are kept of the beginning and of the end of a stream.
fn parts(limit: u64, keep: Keep) -> (u64, u64) {
    let tail = match keep {
        Keep::Head => 0,
        Keep::Tail => limit,
        Keep::Both => limit / 2,
    };
    (limit - tail, tail)
}

/// Where the kept byte at this offset of the stream is in the file, and how many kept bytes follow there,
/// including it.
pub(crate) fn locate(total: Total, offset: u64) -> (u64, u64) {
    let head = total.head();
    match offset.checked_sub(head) {
        None => (offset, head - offset),
        Some(_) if total.tail == 0 || offset >= total.bytes => (head, 0),
        Some(beyond) => {
            let place = beyond % total.tail;
            (head + place, (total.tail - place).min(total.bytes - offset))
        }
    }
}

/// Reads bytes of a pipe, or as many of a terminal as are there and as the buffer takes.
fn read_piece(pipe: &OwnedFd, buffer: &mut [u8], is_terminal: bool) -> Result<usize, Errno> {
    let mut last = rustix::io::read(pipe, &mut *buffer)?;
    let mut count = last;
    while is_terminal && last >= LARGE_PIECE && count < buffer.len() {
        // The end, or an error, is met again by the next call.
        last = rustix::io::read(pipe, &mut buffer[count..]).unwrap_or(0);
        count += last;
    }
    Ok(count)
}

/// Reads and drops bytes; returns 0 at the end of the stream.
pub(crate) fn discard(pipe: &OwnedFd, scratch: &mut Scratch) -> Result<usize, Errno> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match rustix::pipe::splice(pipe, None, &scratch.null, None, SPLICE_BYTES, flags) {
        // Some kernels and sandboxes (gVisor) do not support splice here.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::io::read(pipe, &mut scratch.buffer[..]),
        taken => taken,
    }
}

impl Scratch {
    const BYTES: usize = 64 << 10;

    pub(crate) fn new() -> io::Result<Self> {
        let null = File::options().write(true).open("/dev/null")?;
        Ok(Self { buffer: vec![0; Self::BYTES].into(), null })
    }
}
