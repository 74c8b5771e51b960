//! Our own terminal while it shows the terminal of a shell.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    stdio::{stdin, stdout},
    termios::{
        OptionalActions, QueueSelector, Termios, isatty, tcflush, tcgetattr, tcgetwinsize,
        tcsetattr,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    sync::mpsc,
    task::spawn_blocking,
};

use crate::terminal::Unbuffered;

/// How many bytes of input are read at once.
const PIECE: usize = 4096;
/// For how long more input may follow what was discarded.
const DISCARD_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// How often input is discarded. The kernel holds at most 64 KiB of it, and hands out 4 KiB at once.
const MAX_DISCARDS: usize = 32;

/// Standard input in raw mode: keys arrive one by one, without echo, and Ctrl-C is a key like any other.
/// Dropping it restores the terminal, also when this program panics.
pub(crate) struct RawTerminal {
    /// The settings to restore; none if standard input is not a terminal.
    before: Option<Termios>,
}

impl RawTerminal {
    /// Enters raw mode, if standard input is a terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        if !isatty(stdin()) {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before: Some(before) })
    }

    /// Whether standard input is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.before.is_some()
    }

    /// Discards what the terminal holds and nobody has read, such as the rest of a paste: the program that reads the
    /// terminal next, a shell, would execute it.
    pub(crate) fn discard_input(&self) {
        if !self.is_terminal() {
            return;
        }
        let input = stdin();
        for _ in 0..MAX_DISCARDS {
            // Fails after a hangup, when there is no input.
            let _ = tcflush(input, QueueSelector::IFlush);
            let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&DISCARD_PAUSE));
            if !matches!(ready, Ok(1)) {
                return;
            }
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Fails after a hangup, when there is no terminal to restore.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// Columns and rows of the terminal, if there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// What is typed on standard input.
pub(crate) enum Input {
    /// Read without a thread, so that a key wakes no other one.
    Terminal(Receiver),
    /// Read by a thread, because a read of a pipe or a file can't be abandoned.
    Pieces(mpsc::Receiver<Vec<u8>>),
}

impl Input {
    pub(crate) fn open() -> Self {
        let terminal = reopen(stdin(), OFlags::RDONLY);
        let terminal = terminal.and_then(|fd| Receiver::from_owned_fd_unchecked(fd).ok());
        terminal.map_or_else(|| Self::Pieces(read_input()), Self::Terminal)
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Terminal(terminal) => {
                let mut piece = Vec::with_capacity(PIECE);
                // An error means that the terminal was closed.
                let count = terminal.read_buf(&mut piece).await.unwrap_or(0);
                (count > 0).then_some(piece)
            }
            Self::Pieces(pieces) => pieces.recv().await,
        }
    }
}

/// Standard output. Writing waits without holding up anything else while it accepts nothing.
pub(crate) struct Output {
    /// If it is a terminal.
    terminal: Option<Sender>,
}

impl Output {
    pub(crate) fn open() -> Self {
        let terminal = reopen(stdout(), OFlags::WRONLY);
        Self { terminal: terminal.and_then(|fd| Sender::from_owned_fd_unchecked(fd).ok()) }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(terminal) = &mut self.terminal {
            return terminal.write_all(bytes).await;
        }
        let bytes = bytes.to_vec();
        let written = spawn_blocking(move || Unbuffered.write_all(&bytes));
        written.await.map_err(io::Error::other)?
    }
}

/// Opens a terminal once more: what does not block us must not change how it behaves for other programs, which
/// share the description that we were started with. `None` if that is not possible.
fn reopen(standard: impl AsFd, access: OFlags) -> Option<OwnedFd> {
    let standard = standard.as_fd();
    if !isatty(standard) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", standard.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// The pieces of standard input; the channel closes at its end. A thread does not delay the end of this
/// program.
fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(16);
    thread::spawn(move || {
        let mut piece = [0; PIECE];
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut piece) {
            if send.blocking_send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receive
}
