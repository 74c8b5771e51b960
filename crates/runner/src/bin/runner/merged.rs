//! Reads what a command writes to stdout and stderr in the order in which it does, and knows which is which.
//!
//! Two facts about Linux together give the order of writes to two pipes:
//! - In packet mode (`O_DIRECT`, pipe(2)) a write never joins the one before it. A pipe of one page has room for one
//!   packet, so that a program waits with its next write to that pipe until the packet was read.
//! - An epoll(7) instance with edge-triggered descriptors lists them in the order in which they became readable.
//!
//! So the list has at most one entry for each pipe, and their order is that of the writes. One entry is taken at a
//! time, and one packet read for it. The kernel adds the entry a moment after the packet, so a packet without an entry
//! is left alone: the entry would otherwise stand for the packet after it, and put that before one of the other pipe.
//!
//! A program that opens `/dev/stdout` or `/dev/stderr` writes by a descriptor without packet mode. What it writes
//! while its write before that was not read yet may join it, and then comes before the packet that the other pipe got
//! between both. A program may also enlarge a pipe. Then several packets have one entry, so the rest is found by the
//! number of unread bytes, and the order is that of arrival.

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
    /// The size of a pipe that has room for one packet.
    page: usize,
    /// Whether the program has enlarged the pipe.
    is_enlarged: [bool; 2],
    marks: Marks,
    /// The pipes may have more packets although the list has no entry.
    has_more: bool,
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
            page,
            is_enlarged: [false; 2],
            marks: Marks::default(),
            has_more: false,
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
        let (mut filled, mut noted) = (0, Vec::new());
        let mut large = Vec::new();
        let mut has_more = false;
        while let Some(index) = self.next(filled > 0) {
            let unread = self.unread(index);
            let has_room = filled + unread <= scratch.buffer.len();
            // Only an enlarged pipe has more than the buffer has room for.
            large.resize(if has_room { 0 } else { unread }, 0);
            let buffer = scratch.buffer.get_mut(filled..filled + unread);
            let count = self.read(index, buffer.unwrap_or(&mut large));
            if count > 0 {
                let offset = output.total().bytes + filled as u64;
                self.marks.note(offset, WRITERS[index], output.limits(), &mut noted);
            }
            large.truncate(count);
            filled += if has_room { count } else { 0 };
            let is_full = filled + self.page > scratch.buffer.len();
            has_more = is_full || !large.is_empty() || Instant::now() >= until;
            if has_more {
                break;
            }
        }
        marks.append(&noted);
        output.append(&scratch.buffer[..filled]);
        output.append(&large);
        has_more
    }

    /// The pipe to read next; `None` if there is nothing to read.
    fn next(&mut self, may_wait: bool) -> Option<usize> {
        let mut found = self.listed();
        if found.is_none() && self.is_enlarged.contains(&true) {
            found = self.unlisted();
        }
        if found.is_some() {
            return found;
        }
        let tries = if may_wait && self.rest.is_none() && !self.is_over() { TRIES } else { 0 };
        (0..tries).find_map(|_| self.listed()).or_else(|| self.unlisted())
    }

    /// A pipe with a packet for which the list will have no entry: the program has enlarged the pipe, or nobody writes
    /// to it any more. Without one, closes pipes in which nothing comes any more.
    fn unlisted(&mut self) -> Option<usize> {
        let mut has_unlisted = [false; 2];
        for (index, pipe) in self.pipes.iter().enumerate() {
            let Some(pipe) = pipe else { continue };
            let size = rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(self.page);
            self.is_enlarged[index] |= size != self.page;
            let may_have = self.is_enlarged[index] || self.is_hung_up[index] || self.rest.is_some();
            has_unlisted[index] = may_have && self.unread(index) > 0;
        }
        if let Some(index) = self.listed() {
            return Some(index);
        }
        if let Some(index) = has_unlisted.iter().position(|has| *has) {
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

    /// How many bytes the pipe contains.
    fn unread(&self, index: usize) -> usize {
        let unread = self.pipes[index].as_ref().map(rustix::io::ioctl_fionread);
        unread.and_then(Result::ok).and_then(|unread| unread.try_into().ok()).unwrap_or(0)
    }

    /// Reads one packet into a buffer that has room for all that the pipe contains: if there was less, the kernel
    /// would drop the rest of a packet. Returns its size, or 0 if there is none.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        let Some(pipe) = &self.pipes[index] else { return 0 };
        if buffer.is_empty() {
            return 0;
        }
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
