//! `--stdio`: carries a caller's lines on a terminal to the runner's socket, and back.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use runner::lines::{self, Decoder};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// After this long without a byte nobody is there any more, although the terminal is: ECS Exec ends
/// a session after 20 minutes of silence, and does not always end what ran in it.
const SILENCE: Duration = Duration::from_secs(30 * 60);
const PIECE_BYTES: usize = 16 << 10;

/// Runs until the caller or the runner leaves.
pub(crate) fn run(socket: &Path) -> io::Result<()> {
    make_raw()?;
    let runner = UnixStream::connect(socket)?;
    runner.set_nonblocking(true)?;
    // Else one write to a full terminal would keep the other direction waiting.
    rustix::io::ioctl_fionbio(stdin(), true)?;
    rustix::io::ioctl_fionbio(stdout(), true)?;
    let to_caller = format!("{}\n", lines::GREETING).into_bytes();
    let decoder = Decoder::open();
    Bridge { runner, decoder, to_runner: Vec::new(), to_caller, runner_left: false }.run()
}

/// No echo, no signals from keys, no change of any byte. What is no terminal is that already.
fn make_raw() -> io::Result<()> {
    for side in [stdin(), stdout()] {
        if let Ok(mut terminal) = tcgetattr(side) {
            terminal.make_raw();
            tcsetattr(side, OptionalActions::Now, &terminal)?;
        }
    }
    Ok(())
}

struct Bridge {
    runner: UnixStream,
    decoder: Decoder,
    to_runner: Vec<u8>,
    to_caller: Vec<u8>,
    runner_left: bool,
}

/// Who has something for us, or is gone.
#[derive(Debug, Clone, Copy)]
struct Ready {
    caller: bool,
    runner: bool,
}

impl Bridge {
    fn run(mut self) -> io::Result<()> {
        while !self.is_over() {
            let Some(ready) = self.wait()? else { return Ok(()) };
            if ready.caller && !self.hear_caller()? {
                return Ok(());
            }
            if ready.runner {
                self.hear_runner()?;
            }
            write_some(&mut self.to_runner, |bytes| self.runner.write(bytes))?;
            write_some(&mut self.to_caller, |bytes| Ok(rustix::io::write(stdout(), bytes)?))?;
        }
        Ok(())
    }

    /// Whether one side has left, and the other has all that it said.
    fn is_over(&self) -> bool {
        (self.decoder.is_over() && self.to_runner.is_empty())
            || (self.runner_left && self.to_caller.is_empty())
    }

    /// None if nobody is there any more. A side is not read while the other one has not taken what was read
    /// before.
    fn wait(&self) -> io::Result<Option<Ready>> {
        let wish = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let from_caller = wish(self.to_runner.is_empty(), PollFlags::IN);
        let to_caller = wish(!self.to_caller.is_empty(), PollFlags::OUT);
        let from_runner = wish(self.to_caller.is_empty(), PollFlags::IN);
        let to_runner = wish(!self.to_runner.is_empty(), PollFlags::OUT);
        let mut fds = [
            PollFd::from_borrowed_fd(stdin(), from_caller),
            PollFd::from_borrowed_fd(stdout(), to_caller),
            PollFd::from_borrowed_fd(self.runner.as_fd(), from_runner | to_runner),
        ];
        // Its hang-up is known, and would be reported again and again.
        let watched = if self.runner_left { 2 } else { 3 };
        let silence = Timespec::try_from(SILENCE).map_err(io::Error::other)?;
        match rustix::event::poll(&mut fds[..watched], Some(&silence)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => passing(error.into())?,
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        let [input, output, runner] = fds.map(|fd| fd.revents());
        if output.intersects(gone) {
            return Ok(None);
        }
        Ok(Some(Ready {
            caller: input.intersects(PollFlags::IN | gone),
            runner: runner.intersects(PollFlags::IN | gone),
        }))
    }

    fn hear_caller(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE_BYTES];
        match rustix::io::read(stdin(), &mut piece) {
            // How a terminal says that its other end is closed.
            Ok(0) | Err(rustix::io::Errno::IO) => return Ok(false),
            Ok(count) => {
                let heard = self.decoder.feed(&piece[..count], &mut self.to_runner);
                heard.map_err(io::Error::other)?;
            }
            Err(error) => passing(error.into())?,
        }
        Ok(true)
    }

    fn hear_runner(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE_BYTES];
        match self.runner.read(&mut piece) {
            Ok(0) => {
                self.runner_left = true;
                self.to_caller.extend_from_slice(lines::END.as_bytes());
            }
            Ok(count) => lines::encode_into(&piece[..count], &mut self.to_caller),
            Err(error) => passing(error)?,
        }
        Ok(())
    }
}

/// Writes what is taken at once.
fn write_some(
    unsent: &mut Vec<u8>,
    write: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if !unsent.is_empty() {
        match write(unsent) {
            Ok(count) => drop(unsent.drain(..count)),
            Err(error) => passing(error)?,
        }
    }
    Ok(())
}

fn passing(error: io::Error) -> io::Result<()> {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    if kinds.contains(&error.kind()) { Ok(()) } else { Err(error) }
}
