//! Relays between a caller on a terminal, as ECS Exec gives it, and the socket of the runner that already
//! runs.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr};

use crate::sys::Signals;

mod protocol_lines;
mod terminal_bytes;

pub(crate) use protocol_lines::ProtocolLines;
pub(crate) use terminal_bytes::TerminalBytes;

/// The relay ends after this long without a byte. ECS Exec ends a session that is idle for 20 minutes,
/// but does not always end its processes or close its terminal.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const PIECE_BYTES: usize = 16 << 10;

/// How the bytes of one side become those of the other.
pub(crate) trait Translation {
    /// The first bytes for both sides.
    fn open(&mut self, to_runner: &mut Vec<u8>, to_caller: &mut Vec<u8>) -> io::Result<()>;

    fn caller_sent(&mut self, piece: &[u8], to_runner: &mut Vec<u8>) -> io::Result<()>;

    fn runner_sent(&mut self, piece: &[u8], to_caller: &mut Vec<u8>) -> io::Result<()>;

    /// The runner has closed its side.
    fn runner_closed(&mut self, to_caller: &mut Vec<u8>);

    /// The caller's terminal has this size now.
    fn resized(&mut self, size: Winsize, to_runner: &mut Vec<u8>) -> io::Result<()>;

    /// Whether the caller has said that it sends nothing more.
    fn caller_is_over(&self) -> bool;

    /// Whether the runner sends nothing more.
    fn runner_is_over(&self) -> bool;
}

/// Relays until the caller or the runner closes its side.
pub(crate) fn run(socket: &Path, mut translation: impl Translation) -> io::Result<()> {
    make_raw()?;
    let signals = Signals::block(&[libc::SIGWINCH])?;
    let runner = UnixStream::connect(socket)?;
    runner.set_nonblocking(true)?;
    // A blocking write to a full terminal would stall the other direction.
    rustix::io::ioctl_fionbio(stdin(), true)?;
    rustix::io::ioctl_fionbio(stdout(), true)?;
    let (mut to_runner, mut to_caller) = (Vec::new(), Vec::new());
    translation.open(&mut to_runner, &mut to_caller)?;
    let relay = Relay { runner, signals, translation, to_runner, to_caller, runner_closed: false };
    relay.run()
}

/// Puts the terminal into raw mode: no echo, no signals from keys, no translation of bytes. Does
/// nothing for a descriptor that is not a terminal.
fn make_raw() -> io::Result<()> {
    for side in [stdin(), stdout()] {
        if let Ok(mut terminal) = tcgetattr(side) {
            terminal.make_raw();
            tcsetattr(side, OptionalActions::Now, &terminal)?;
        }
    }
    Ok(())
}

struct Relay<T> {
    runner: UnixStream,
    signals: Signals,
    translation: T,
    to_runner: Vec<u8>,
    to_caller: Vec<u8>,
    runner_closed: bool,
}

/// Which side is readable or closed.
#[derive(Debug, Clone, Copy)]
struct Ready {
    caller: bool,
    runner: bool,
    signals: bool,
}

impl<T: Translation> Relay<T> {
    fn run(mut self) -> io::Result<()> {
        self.resize()?;
        while !self.is_over() {
            let Some(ready) = self.wait()? else { return Ok(()) };
            if ready.caller && !self.read_caller()? {
                return Ok(());
            }
            if ready.runner {
                self.read_runner()?;
            }
            if ready.signals {
                while self.signals.next().is_some() {}
                self.resize()?;
            }
            write_some(&mut self.to_runner, |bytes| self.runner.write(bytes))?;
            write_some(&mut self.to_caller, |bytes| Ok(rustix::io::write(stdout(), bytes)?))?;
        }
        Ok(())
    }

    /// Whether one side is closed and the other has received everything from it.
    fn is_over(&self) -> bool {
        let runner_is_over = self.runner_closed || self.translation.runner_is_over();
        (self.translation.caller_is_over() && self.to_runner.is_empty())
            || (runner_is_over && self.to_caller.is_empty())
    }

    /// Passes the size of the caller's terminal on; there is none if the caller uses pipes.
    fn resize(&mut self) -> io::Result<()> {
        match tcgetwinsize(stdin()) {
            Ok(size) => self.translation.resized(size, &mut self.to_runner),
            Err(_) => Ok(()),
        }
    }

    /// Waits until a side is ready; `None` if the relay must end. A side is not read while bytes read
    /// from it before still wait to be written to the other side.
    fn wait(&self) -> io::Result<Option<Ready>> {
        let when = |condition: bool, flag| if condition { flag } else { PollFlags::empty() };
        let from_caller = when(self.to_runner.is_empty(), PollFlags::IN);
        let to_caller = when(!self.to_caller.is_empty(), PollFlags::OUT);
        let from_runner = when(self.to_caller.is_empty(), PollFlags::IN);
        let to_runner = when(!self.to_runner.is_empty(), PollFlags::OUT);
        let mut fds = [
            PollFd::from_borrowed_fd(stdin(), from_caller),
            PollFd::from_borrowed_fd(stdout(), to_caller),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.runner.as_fd(), from_runner | to_runner),
        ];
        // poll(2) would report the HUP of a closed runner again and again.
        let polled = if self.runner_closed { 3 } else { 4 };
        let timeout = Timespec::try_from(IDLE_TIMEOUT).map_err(io::Error::other)?;
        match rustix::event::poll(&mut fds[..polled], Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => ignore_temporary(error.into())?,
        }
        let closed = PollFlags::HUP | PollFlags::ERR;
        let [input, output, signals, runner] = fds.map(|fd| fd.revents());
        if output.intersects(closed) {
            return Ok(None);
        }
        Ok(Some(Ready {
            caller: input.intersects(PollFlags::IN | closed),
            runner: runner.intersects(PollFlags::IN | closed),
            signals: signals.intersects(PollFlags::IN),
        }))
    }

    /// Reads from the terminal; false if its other end is closed.
    fn read_caller(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE_BYTES];
        match rustix::io::read(stdin(), &mut piece) {
            // A terminal reports EIO when its other end is closed.
            Ok(0) | Err(rustix::io::Errno::IO) => return Ok(false),
            Ok(count) => self.translation.caller_sent(&piece[..count], &mut self.to_runner)?,
            Err(error) => ignore_temporary(error.into())?,
        }
        Ok(true)
    }

    fn read_runner(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE_BYTES];
        match self.runner.read(&mut piece) {
            Ok(0) => {
                self.runner_closed = true;
                self.translation.runner_closed(&mut self.to_caller);
            }
            Ok(count) => self.translation.runner_sent(&piece[..count], &mut self.to_caller)?,
            Err(error) => ignore_temporary(error)?,
        }
        Ok(())
    }
}

/// Writes as much as is accepted without blocking.
fn write_some(
    unsent: &mut Vec<u8>,
    write: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if !unsent.is_empty() {
        match write(unsent) {
            Ok(count) => drop(unsent.drain(..count)),
            Err(error) => ignore_temporary(error)?,
        }
    }
    Ok(())
}

fn ignore_temporary(error: io::Error) -> io::Result<()> {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    if kinds.contains(&error.kind()) { Ok(()) } else { Err(error) }
}
