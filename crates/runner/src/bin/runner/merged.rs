//! Reads what a command writes to stdout and stderr in the order in which it does, and knows which is which.
//!
//! Two facts about Linux together give the order of writes to two pipes:
//! - In packet mode (`O_DIRECT`, pipe(2)) a write never joins the one before it. A pipe of one page has room for one
//!   packet, so that a program waits with its next write to that pipe until the packet was read.
//! - An epoll(7) instance with edge-triggered descriptors lists them in the order in which they became readable.
//!
//! So the list has at most one entry for each pipe, and their order is that of the writes. One entry is taken at a
//! time, and one packet read for it: any other read could take a packet before its entry, which would then stand for
//! the packet after it.
//!
//! A program that opens `/dev/stdout` or `/dev/stderr` writes by a descriptor without packet mode. What it writes
//! while its write before that was not read yet may join it, and then comes before the packet that the other pipe got
//! between both. A program may also enlarge a pipe; then packets without an entry are read late, but none is lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use runner::protocol::marks::Writer;
use rustix::event::{Timespec, epoll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::capture::{Capture, Scratch};
use crate::marks::Marks;

const WRITERS: [Writer; 2] = [Writer::Stdout, Writer::Stderr];
/// How often the list is asked for another entry after a packet, before this process waits in poll(2). The program
/// has to wake this process for a packet that comes later, which costs both more than this takes: about 30 µs.
const TRIES: u32 = 100;
/// How long packets are read before other jobs are served.
const BUSY_TIME: Duration = Duration::from_millis(1);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The read ends of the pipes of a command's merged output.
#[derive(Debug)]
pub(crate) struct MergedPipes {
    epoll: OwnedFd,
    /// The pipes of stdout and of stderr; `None` once everything to capture was read.
    pipes: [Option<OwnedFd>; 2],
    /// The pipes after that which another process still holds open.
    held: Vec<OwnedFd>,
    /// Whether no process has the other end of the pipe open.
    is_hung_up: [bool; 2],
    /// After the job's end: how many bytes, written before the end, each pipe may still contain.
    rest: Option<[usize; 2]>,
    /// Largest size of a packet: the rest of one for which a buffer has no room would be lost.
    packet_bytes: usize,
    marks: Marks,
    /// The pipes may have packets for which the list has no entry.
    has_more: bool,
    /// They had such packets, which are looked for first then.
    had_left: bool,
}

impl MergedPipes {
    /// The pipes, and the command's ends of them.
    ///
    /// # Errors
    /// Also where the kernel has no packet mode, as gVisor.
    pub(crate) fn open() -> io::Result<(Self, [OwnedFd; 2])> {
        let page = rustix::param::page_size();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (mut read_ends, mut write_ends) = (Vec::new(), Vec::new());
        for index in 0..2 {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)?;
            // Allows the command to reopen its end.
            rustix::fs::fchmod(&write, Mode::from_raw_mode(0o622))?;
            if rustix::pipe::fcntl_setpipe_size(&read, page)? != page {
                return Err(Errno::INVAL.into());
            }
            rustix::io::ioctl_fionbio(&read, true)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, &read, epoll::EventData::new_u64(index), flags)?;
            read_ends.push(read);
            write_ends.push(write);
        }
        let mut read_ends = read_ends.into_iter();
        let pipes = [read_ends.next(), read_ends.next()];
        let write_ends = write_ends.try_into().map_err(|_| io::Error::from(Errno::INVAL))?;
        let merged = Self {
            epoll,
            pipes,
            held: Vec::new(),
            is_hung_up: [false; 2],
            rest: None,
            packet_bytes: page,
            marks: Marks::default(),
            has_more: false,
            had_left: false,
        };
        Ok((merged, write_ends))
    }

    /// Readable if a packet can be read; `None` once everything was read.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_over()).then(|| self.epoll.as_fd())
    }

    /// Whether everything to capture was read.
    pub(crate) fn is_over(&self) -> bool {
        self.pipes.iter().all(Option::is_none)
    }

    /// Whether [`MergedPipes::drain`] must be called although the descriptor may not be readable.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more && !self.is_over()
    }

    /// The job has ended. Captures what the pipes contain now, and nothing that another process writes later.
    pub(crate) fn finish(&mut self) {
        let capacity = |pipe: &OwnedFd| rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(1 << 20);
        self.rest = Some(self.pipes.each_ref().map(|pipe| pipe.as_ref().map_or(0, capacity)));
        self.has_more = true;
    }

    /// The pipes that another process still holds open. The order of what is written to them does not matter any
    /// more.
    pub(crate) fn into_held(self) -> Vec<OwnedFd> {
        self.held.iter().for_each(crate::spawn::enlarge);
        self.held
    }

    /// Moves what the pipes contain into the files, up to a limit; never blocks.
    pub(crate) fn drain(
        &mut self,
        scratch: &mut Scratch,
        output: &mut Capture,
        marks: &mut Capture,
    ) {
        if self.is_over() {
            return;
        }
        let until = Instant::now() + BUSY_TIME;
        loop {
            self.has_more = self.fill(scratch, output, marks, until);
            if !self.has_more || Instant::now() >= until {
                break;
            }
        }
        if self.is_over() {
            let mut noted = Vec::new();
            self.marks.finish(output.limits().0, output.total(), &mut noted);
            marks.append(&noted);
        }
    }

    /// Moves as many packets as the buffer takes. Returns whether there may be more.
    fn fill(
        &mut self,
        scratch: &mut Scratch,
        output: &mut Capture,
        marks: &mut Capture,
        until: Instant,
    ) -> bool {
        let (mut filled, mut noted, mut has_more) = (0, Vec::new(), false);
        while let Some(index) = self.next(filled > 0) {
            let count = self.read(index, &mut scratch.buffer[filled..]);
            if count > 0 {
                let offset = output.total().bytes + filled as u64;
                self.marks.note(offset, WRITERS[index], output.limits(), &mut noted);
                filled += count;
            }
            has_more = filled + self.packet_bytes > scratch.buffer.len() || Instant::now() >= until;
            if has_more {
                break;
            }
        }
        marks.append(&noted);
        output.append(&scratch.buffer[..filled]);
        has_more
    }

    /// The pipe to read next; `None` if there is nothing to read.
    fn next(&mut self, may_wait: bool) -> Option<usize> {
        let found = self.listed().or_else(|| if self.had_left { self.left() } else { None });
        if found.is_some() {
            return found;
        }
        let tries = if may_wait && self.rest.is_none() && !self.is_over() { TRIES } else { 0 };
        (0..tries).find_map(|_| self.listed()).or_else(|| self.left())
    }

    /// A pipe with a packet for which the list has no entry. Without one, closes pipes in which nothing comes any more.
    fn left(&mut self) -> Option<usize> {
        let left = self.pipes.each_ref().map(|pipe| {
            pipe.as_ref().is_some_and(|pipe| rustix::io::ioctl_fionread(pipe).unwrap_or(0) > 0)
        });
        // The entry of a packet that has come before this question is in the list by now.
        if let Some(index) = self.listed() {
            return Some(index);
        }
        if let Some(index) = left.iter().position(|left| *left) {
            self.had_left = true;
            return Some(index);
        }
        for (pipe, is_hung_up) in self.pipes.iter_mut().zip(self.is_hung_up) {
            if is_hung_up {
                *pipe = None;
            } else if self.rest.is_some() {
                self.held.extend(pipe.take());
            }
        }
        None
    }

    /// The pipe of the first entry of the list, which is removed.
    fn listed(&mut self) -> Option<usize> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        let count = epoll::wait(&self.epoll, &mut events[..], Some(&AT_ONCE)).unwrap_or(0);
        let event = events.first().filter(|_| count > 0)?;
        let index = usize::from(event.data.u64() == 1);
        let closed = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let flags = event.flags;
        self.is_hung_up[index] |= flags.intersects(closed);
        Some(index)
    }

    /// Reads one packet. Returns its size, or 0 if there is none.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        let Some(pipe) = &self.pipes[index] else { return 0 };
        let count = match rustix::io::read(pipe, buffer) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return 0,
            // A pipe has no other errors; keeping it open would make the loop spin.
            Err(_) => 0,
        };
        if count == 0 {
            self.pipes[index] = None;
        }
        if let Some(rest) = &mut self.rest {
            rest[index] = rest[index].saturating_sub(count);
            if rest[index] == 0 {
                self.held.extend(self.pipes[index].take());
            }
        }
        count
    }
}
