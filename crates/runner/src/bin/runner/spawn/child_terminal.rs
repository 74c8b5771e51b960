//! Opens a child's terminal: system calls only, no allocation, no lock, no panic.

use std::ffi::CStr;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pty::OpenptFlags;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::Winsize;

use crate::sys::check;

/// Opens a pseudo-terminal, see pty(7): one end becomes the standard streams and the controlling terminal of
/// this process, the other one is sent over the socket. The terminal belongs to the user who opens it.
pub(super) fn open(size: Winsize, socket: RawFd) -> io::Result<()> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::pty::unlockpt(&master)?;
    rustix::termios::tcsetwinsize(&master, size)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    let mut path = [0; 32];
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let slave = rustix::fs::open(peer(&mut path, master.as_raw_fd())?, flags, Mode::empty())?;
    dup2_stdin(&slave)?;
    dup2_stdout(&slave)?;
    dup2_stderr(&slave)?;
    // SAFETY: plain numbers.
    check(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) })?;
    // SAFETY: the parent keeps the descriptor open until after the fork.
    send(master.as_fd(), unsafe { BorrowedFd::borrow_raw(socket) })
}

/// The path of the other end of a terminal.
fn peer(path: &mut [u8; 32], master: RawFd) -> io::Result<&CStr> {
    let mut number: libc::c_uint = 0;
    // SAFETY: writes to the live local.
    check(unsafe { libc::ioctl(master, libc::TIOCGPTN, &mut number) })?;
    write!(&mut path[..], "/dev/pts/{number}\0")?;
    CStr::from_bytes_until_nul(path).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn send(master: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master];
    buffer.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(b"0")], &mut buffer, SendFlags::NOSIGNAL)?;
    Ok(())
}
