//! Our own terminal while it shows the terminal of a shell.

use std::{
    io::{self, Read},
    thread,
};

use rustix::{
    stdio::stdin,
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr},
};
use tokio::sync::mpsc;

/// How many bytes of input are read at once.
const PIECE: usize = 4096;

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
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(rustix::stdio::stdout())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The pieces of standard input; the channel closes at its end. A thread reads it, because a read can't
/// be abandoned, and a thread does not delay the end of this program.
pub(crate) fn read_input() -> mpsc::Receiver<Vec<u8>> {
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
