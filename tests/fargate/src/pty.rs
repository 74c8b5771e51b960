//! A pseudoterminal in a sandbox, opened from outside.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    process::Pid,
    pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::io::unix::AsyncFd;

/// The side of the agent. Dropping it sends SIGHUP to the commands on the other side.
#[derive(Debug)]
pub(crate) struct Pty {
    master: AsyncFd<OwnedFd>,
}

impl Pty {
    /// Opens a new pseudoterminal in the sandbox with this PID 1, so that it has a name inside. The
    /// second value is the command's side.
    pub(crate) fn open(init: Pid) -> io::Result<(Self, OwnedFd)> {
        let place = format!("/proc/{}/root/dev/pts/ptmx", init.as_raw_nonzero());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let master = open(place, flags, Mode::empty())?;
        unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        #[expect(deprecated, reason = "sound for an OwnedFd; its successor is unsafe for any type")]
        let master = AsyncFd::new(master)?;
        Ok((Self { master }, slave))
    }

    /// Reads output; 0 bytes when no command has the terminal open any more.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.master.readable().await?;
            match ready.try_io(|master| Ok(rustix::io::read(master.as_fd(), &mut *into)?)) {
                // Linux reports the end of output of a terminal as EIO.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Ok(0);
                }
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes input, as if it were typed.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.master.writable().await?;
            match ready.try_io(|master| Ok(rustix::io::write(master.as_fd(), bytes)?)) {
                Ok(written) => bytes = bytes.get(written?..).unwrap_or_default(),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.master.as_fd(), size)?)
    }
}
