//! The terminal of a job: the runner's side of a pseudo-terminal, see pty(7).

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::termios::Winsize;

/// The runner reads no further requests from a connection while more typed bytes than this wait for
/// their program.
const MAX_WAITING_BYTES: usize = 64 << 10;

/// The type of the terminal, for its programs.
pub(crate) const TERM: &str = "xterm-256color";

/// The most columns and rows, as in the API.
const MAX_SIDE: u16 = 1000;

#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
    /// Typed bytes that the terminal did not take yet.
    waiting: VecDeque<u8>,
    idle: Option<Duration>,
    /// Since when no connection has opened the terminal; `None` while one has.
    detached_at: Option<Instant>,
}

/// A socket over which a child sends its terminal, and the child's end of it.
pub(crate) fn transfer() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?)
}

/// The runner's end of the terminal that a child has sent. Never blocks.
pub(crate) fn receive(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut data, &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = buffer.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut descriptors) = message else { return None };
        descriptors.next()
    });
    descriptor.ok_or_else(|| io::Error::other("the process has sent no terminal"))
}

/// The size of a terminal. Clients of a data channel may send any numbers, and programs allocate by them.
pub(crate) fn size(cols: u16, rows: u16) -> Winsize {
    let [cols, rows] = [cols, rows].map(|side| side.clamp(1, MAX_SIDE));
    Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    pub(crate) fn new(master: OwnedFd, idle_ms: Option<u64>, now: Instant) -> Self {
        let idle = idle_ms.map(Duration::from_millis);
        Self { master, waiting: VecDeque::new(), idle, detached_at: Some(now) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Whether typed bytes wait for the terminal.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether more typed bytes may be received.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING_BYTES
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
        self.feed();
    }

    /// Writes as many of the typed bytes as the terminal takes.
    pub(crate) fn feed(&mut self) {
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.master, self.waiting.as_slices().0) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // No process has the terminal open any more.
                Err(_) => self.waiting.clear(),
            }
        }
    }

    /// Changes the size, and sends SIGWINCH to the terminal's foreground process group.
    pub(crate) fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        Ok(rustix::termios::tcsetwinsize(&self.master, size(cols, rows))?)
    }

    /// Notes whether a connection has the terminal open.
    pub(crate) fn set_attached(&mut self, attached: bool, now: Instant) {
        self.detached_at = if attached { None } else { self.detached_at.or(Some(now)) };
    }

    /// When the job ends because nobody has opened its terminal.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.detached_at?.checked_add(self.idle?)
    }
}
