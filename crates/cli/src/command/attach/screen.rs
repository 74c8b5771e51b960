//! Shows the terminal of a job in our own terminal.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use ssm::{CloseReason, client::Channel};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{Context, channels::Channels, keyboard::Keyboard};
use crate::{
    client::Client,
    error::CliError,
    follow::Follower,
    interrupt::{EndSignal, Interrupt},
    raw_terminal::{self, Output},
};

/// Clears the screen before a terminal is shown again from the oldest byte that is kept.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";
/// Undoes what a program that runs on may have done to our terminal: mouse reports, bracketed paste, the
/// alternate screen, a hidden cursor, colours.
const RESET: &[u8] =
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[m\r\n";
/// For how long that waits for a terminal that is stopped.
const RESET_TIME: Duration = Duration::from_millis(500);

/// Why a terminal is shown no longer.
pub(super) enum Left {
    /// The user detached.
    Detached,
    /// A signal asks this program to end.
    Ended(EndSignal),
    /// The command has ended.
    Closed,
}

/// The terminal of a job, shown in ours.
pub(super) struct Screen<'a> {
    context: &'a Context,
    channels: Channels<'a>,
    /// Whether Ctrl-] detaches; else it is a key like any other.
    may_detach: bool,
    output: Output,
}

impl<'a> Screen<'a> {
    pub(super) fn new(
        context: &'a Context,
        client: &'a Client,
        job: &'a str,
        may_detach: bool,
    ) -> Self {
        let channels = Channels { client, job };
        Self { context, channels, may_detach, output: Output::open() }
    }

    /// Shows the terminal, once it can be opened, until the user leaves it or it is closed.
    pub(super) async fn show(&mut self, interrupt: &mut Interrupt) -> Result<Left, CliError> {
        let opened = {
            let spinner = self.context.terminal.spinner("opening a terminal");
            tokio::select! {
                opened = self.channels.open(|status| spinner.set_message(status)) => opened?,
                signal = interrupt.received() => return Ok(Left::Ended(signal)),
            }
        };
        let Some(channel) = opened else {
            // The command was faster than this program.
            let Channels { client, job } = self.channels;
            Follower::new(client, self.context.terminal, job).until_end().await?;
            return Ok(Left::Closed);
        };
        let mut keyboard = Keyboard::open(self.may_detach, self.context.terminal)
            .map_err(|error| CliError::chain("can't change the mode of the terminal", &error))?;
        if self.may_detach {
            self.context
                .terminal
                .note(&format!("connected to {}; Ctrl-] detaches\r", self.channels.job));
        }
        let left = self.show_until_left(channel, &mut keyboard, interrupt).await;
        if keyboard.is_terminal() && !matches!(left, Ok(Left::Closed)) {
            // A failure has no other consequence than a terminal that needs `reset`.
            let _ = timeout(RESET_TIME, self.print(RESET)).await;
        }
        let is_detached = matches!(left, Ok(Left::Detached));
        if is_detached {
            keyboard.discard_input();
        }
        let unsent = keyboard.unsent();
        drop(keyboard);
        if unsent > 0 && is_detached {
            let text = format!("ephemeral: the last {unsent} bytes that were typed were not sent");
            self.context.terminal.message(&text);
        }
        left
    }

    /// Shows the terminal, over another connection when one is lost.
    async fn show_until_left(
        &mut self,
        mut channel: Channel,
        keyboard: &mut Keyboard,
        interrupt: &mut Interrupt,
    ) -> Result<Left, CliError> {
        loop {
            let left = self.show_channel(channel, keyboard, interrupt).await?;
            let is_lost = match left {
                Some(left @ (Left::Detached | Left::Ended(_))) => return Ok(left),
                Some(Left::Closed) => false,
                None => true,
            };
            let next = tokio::select! {
                next = self.next_channel(is_lost) => next?,
                () = keyboard.keep_until_detached() => return Ok(Left::Detached),
                signal = interrupt.received() => return Ok(Left::Ended(signal)),
            };
            let Some(next) = next else { return Ok(Left::Closed) };
            channel = next;
            if stdout().is_terminal() {
                self.print(CLEAR).await?;
            } else {
                self.warn("the connection was lost and opened again");
            }
        }
    }

    /// Opens the terminal again after its channel has ended; `None` if the command has ended.
    async fn next_channel(&self, is_lost: bool) -> Result<Option<Channel>, CliError> {
        if !is_lost && self.channels.job_has_ended().await {
            return Ok(None);
        }
        // What this changes on the screen is cleared when the terminal is shown again.
        self.context.terminal.note("\r\nephemeral: the connection was lost; connecting again\r");
        let channel = self.channels.open_again().await?;
        if channel.is_none() {
            self.warn("the connection was lost before the end of the command");
        }
        Ok(channel)
    }

    /// Says that what was printed is not all of the output, and where the rest is.
    fn warn(&self, what: &str) {
        let text = format!(
            "\r\nephemeral: {what}: output is missing or repeated here; `ephemeral logs {}` prints what is \
             kept of it\r",
            self.channels.job
        );
        self.context.terminal.message(&text);
    }

    /// Shows the terminal while this channel lasts; `None` if its connection was lost.
    async fn show_channel(
        &mut self,
        channel: Channel,
        keyboard: &mut Keyboard,
        interrupt: &mut Interrupt,
    ) -> Result<Option<Left>, CliError> {
        let (resize, connected) = (channel.resizer(), channel.connected());
        let closed = channel.closed();
        let (mut screen, mut keys) = tokio::io::split(channel);
        let left = tokio::select! {
            left = self.show_output(&mut screen, closed) => left,
            () = keyboard.send_until_detached(&mut keys, connected.clone()) => Ok(Some(Left::Detached)),
            signal = interrupt.received() => Ok(Some(Left::Ended(signal))),
            error = pass_on_size(resize) => Err(error),
        };
        let ends_by_us = !matches!(left, Ok(None | Some(Left::Closed)));
        if ends_by_us && *connected.borrow() {
            keyboard.send_rest(&mut keys).await;
            // Without this, the server waits for this client to come back, and so does the program.
            screen.unsplit(keys).close().await;
        }
        left
    }

    /// Prints what the terminal shows until the channel has ended; `None` if its connection was lost.
    async fn show_output(
        &mut self,
        screen: &mut (impl AsyncRead + Unpin),
        closed: impl Future<Output = CloseReason>,
    ) -> Result<Option<Left>, CliError> {
        let mut piece = vec![0; 64 << 10];
        loop {
            match screen.read(&mut piece).await {
                Ok(0) => {
                    self.tell(&closed.await);
                    return Ok(Some(Left::Closed));
                }
                Ok(count) => self.print(&piece[..count]).await?,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Prints the server's message about the end of the terminal, if there is one.
    fn tell(&self, closed: &CloseReason) {
        if let CloseReason::Ended { message, .. } = closed
            && !message.is_empty()
        {
            self.context.terminal.message(&format!("\r\nephemeral: {message}\r"));
        }
    }

    async fn print(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.output.write(bytes).await.map_err(|error| CliError::output(&error))
    }
}

/// Sends the size of our terminal, now and after each change. Returns the error if changes can't be noticed.
async fn pass_on_size(resize: impl Fn(u16, u16)) -> CliError {
    let mut resized = match signal(SignalKind::window_change()) {
        Ok(resized) => resized,
        Err(error) => return CliError::chain("can't install the signal handlers", &error),
    };
    loop {
        if let Some((cols, rows)) = raw_terminal::size() {
            resize(cols, rows);
        }
        resized.recv().await;
    }
}
