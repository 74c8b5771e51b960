//! What is typed in our own terminal while it shows the terminal of a job.

use std::{collections::VecDeque, future, io, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    raw_terminal::{Input, RawTerminal},
    terminal::Terminal,
};

/// Ctrl-], which detaches.
const DETACH: u8 = 0x1d;
/// Ctrl-D, which tells the program the end of a pipe or a file. The end of a terminal is a hangup: the program runs on.
const END_OF_INPUT: u8 = 0x04;
/// For how long what was typed before the user left may wait to be sent.
const SEND_TIME: Duration = Duration::from_secs(1);
/// How much of what is typed waits until it can be sent. Bytes.
const MAX_WAITING: usize = 1 << 20;

/// Our own terminal in raw mode. It is read also without a connection, so that Ctrl-] detaches.
pub(super) struct Keyboard {
    raw: RawTerminal,
    input: Input,
    is_open: bool,
    /// Whether Ctrl-] detaches; else it is a key like any other.
    may_detach: bool,
    /// What was typed and not sent.
    waiting: VecDeque<u8>,
    /// How many bytes had no room in `waiting` since the connection was lost.
    dropped: usize,
    messages: Terminal,
}

impl Keyboard {
    /// Enters raw mode, if standard input is a terminal.
    pub(super) fn open(may_detach: bool, messages: Terminal) -> io::Result<Self> {
        let raw = RawTerminal::enter()?;
        Ok(Self {
            may_detach: may_detach && raw.is_terminal(),
            raw,
            input: Input::open(),
            is_open: true,
            waiting: VecDeque::new(),
            dropped: 0,
            messages,
        })
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.raw.is_terminal()
    }

    /// Discards what was typed and not read.
    pub(super) fn discard_input(&self) {
        self.raw.discard_input();
    }

    /// Sends what is typed, or keeps it while there is no connection, until the user detaches. Cancel-safe.
    pub(super) async fn send_until_detached(
        &mut self,
        keys: &mut (impl AsyncWrite + Unpin),
        mut connected: watch::Receiver<bool>,
    ) {
        loop {
            // What is written without a connection is lost if the channel can't be resumed.
            let is_connected = *connected.borrow_and_update();
            let reads = self.reads(is_connected);
            let (unsent, _) = self.waiting.as_slices();
            tokio::select! {
                typed = self.input.next(), if reads => if self.take(typed) {
                    return;
                },
                written = keys.write(unsent), if is_connected && !unsent.is_empty() => {
                    // A failure of a write shows when the screen is read.
                    let Ok(count) = written else { return future::pending().await };
                    self.waiting.drain(..count);
                    // A message has told what was dropped before; what is typed from here on has room again.
                    self.dropped = 0;
                }
                changed = connected.changed() => if changed.is_err() {
                    // The channel ends, which the screen tells.
                    return future::pending().await;
                },
            }
        }
    }

    /// Keeps what is typed until the user detaches. Cancel-safe.
    pub(super) async fn keep_until_detached(&mut self) {
        while self.reads(false) {
            let typed = self.input.next().await;
            if self.take(typed) {
                return;
            }
        }
        future::pending().await
    }

    /// Sends what was typed before the user detached, as far as the channel takes it within `SEND_TIME`: the program
    /// may read nothing.
    pub(super) async fn send_rest(&mut self, keys: &mut (impl AsyncWrite + Unpin)) {
        let deadline = Instant::now() + SEND_TIME;
        while !self.waiting.is_empty() {
            let (unsent, _) = self.waiting.as_slices();
            // A failure means that the channel has ended.
            let Ok(Ok(count @ 1..)) = timeout_at(deadline, keys.write(unsent)).await else {
                return;
            };
            self.waiting.drain(..count);
        }
    }

    /// How many bytes were typed and not sent.
    pub(super) fn unsent(&self) -> usize {
        self.waiting.len() + self.dropped
    }

    /// Whether input is read now. A pipe or a file waits until what was read before is sent, and so does a terminal
    /// whose program does not read; without a connection a terminal is read for Ctrl-].
    fn reads(&self, is_connected: bool) -> bool {
        let has_room = if self.is_terminal() {
            !is_connected || self.waiting.len() < MAX_WAITING
        } else {
            self.waiting.is_empty()
        };
        self.is_open && has_room
    }

    /// Keeps what was typed; true if the user detaches, also by closing the terminal.
    fn take(&mut self, typed: Option<Vec<u8>>) -> bool {
        let Some(typed) = typed else {
            self.is_open = false;
            if self.is_terminal() {
                return self.may_detach;
            }
            self.waiting.push_back(END_OF_INPUT);
            return false;
        };
        let end = typed.iter().position(|key| *key == DETACH && self.may_detach);
        let keys = &typed[..end.unwrap_or(typed.len())];
        if self.waiting.len() < MAX_WAITING {
            self.waiting.extend(keys);
        } else if !keys.is_empty() {
            if self.dropped == 0 {
                let text = "\r\nephemeral: there is no connection; what is typed from here on is dropped\r";
                self.messages.message(text);
            }
            self.dropped += keys.len();
        }
        end.is_some()
    }
}

#[cfg(test)]
mod tests;
