//! Shows the terminal of a job in our own terminal.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use ssm::{
    CloseReason,
    client::{self as data_channel, Channel},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout},
};

use super::{Context, reopen, wait_for_job};
use crate::{
    client::Client,
    error::CliError,
    follow::Follower,
    interrupt::{EndSignal, Interrupt},
    raw_terminal::{self, Input, Output, RawTerminal},
    view::DataChannel,
};

/// Ctrl-], which detaches.
const DETACH: u8 = 0x1d;
/// Ctrl-D, which stands for the end of our input.
const END_OF_INPUT: u8 = 0x04;
/// Clears the screen before a terminal is shown again from the oldest byte that is kept.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";
/// Undoes what a program that runs on may have done to our terminal: mouse reports, bracketed paste, the
/// alternate screen, a hidden cursor, colours.
const RESET: &[u8] =
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[m\r\n";
/// For how long that waits for a terminal that is stopped.
const RESET_TIME: Duration = Duration::from_millis(500);
/// For how long a lost connection is resumed; a server on one machine permits that for as long.
const RESUME_TIME: Duration = Duration::from_secs(30);
/// For how long the acknowledgement of output may wait for a key, so that output is shown first.
const ACKNOWLEDGEMENT_DELAY: Duration = Duration::from_millis(5);
/// For how long a terminal is opened again whose connection can't be resumed.
const RECONNECT_TIME: Duration = Duration::from_secs(30);
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// How long the record of a command that has ended may still say that it runs.
const END_DELAY: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(50);

/// Why a terminal is shown no longer.
pub(super) enum Left {
    /// The user detached.
    Detached,
    /// A signal asks this program to end.
    Ended(EndSignal),
    /// The command has ended.
    Closed,
    /// The connection was lost.
    Lost,
}

/// The terminal of a job, shown in ours.
pub(super) struct Screen<'a> {
    context: &'a Context,
    client: &'a Client,
    job: &'a str,
    /// Whether Ctrl-] detaches; else it is a key like any other.
    may_detach: bool,
    output: Output,
}

/// Our own terminal while it is in raw mode.
struct Keyboard {
    raw: RawTerminal,
    input: Input,
    is_open: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(
        context: &'a Context,
        client: &'a Client,
        job: &'a str,
        may_detach: bool,
    ) -> Self {
        Self { context, client, job, may_detach, output: Output::open() }
    }

    /// Shows the terminal, once it can be opened, until the user leaves it or it is closed.
    pub(super) async fn show(&mut self, interrupt: &mut Interrupt) -> Result<Left, CliError> {
        let opened = {
            let spinner = self.context.terminal.spinner("opening a terminal");
            tokio::select! {
                opened = self.open(|status| spinner.set_message(status)) => opened?,
                signal = interrupt.received() => return Ok(Left::Ended(signal)),
            }
        };
        let Some(channel) = opened else {
            // The command was faster than this program.
            Follower::new(self.client, self.context.terminal, self.job).until_end().await?;
            return Ok(Left::Closed);
        };
        let raw = RawTerminal::enter()
            .map_err(|error| CliError::chain("can't change the mode of the terminal", &error))?;
        if self.may_detach {
            self.context.terminal.note(&format!("connected to {}; Ctrl-] detaches\r", self.job));
        }
        let mut keyboard = Keyboard { raw, input: Input::open(), is_open: true };
        let left = self.show_until_left(channel, &mut keyboard, interrupt).await;
        if keyboard.raw.is_terminal() && !matches!(left, Ok(Left::Closed)) {
            // A failure has no other consequence than a terminal that needs `reset`.
            let _ = timeout(RESET_TIME, self.print(RESET)).await;
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
            if let Left::Detached | Left::Ended(_) = left {
                return Ok(left);
            }
            if matches!(left, Left::Closed) && self.has_ended().await {
                return Ok(left);
            }
            channel = tokio::select! {
                opened = self.reconnect() => match opened? {
                    Some(channel) => channel,
                    None => {
                        self.warn("the connection was lost before the end of the command");
                        return Ok(Left::Closed);
                    }
                },
                signal = interrupt.received() => return Ok(Left::Ended(signal)),
            };
            if stdout().is_terminal() {
                self.print(CLEAR).await?;
            } else {
                self.warn("the connection was lost and opened again");
            }
        }
    }

    /// Says that what was printed is not all of the output, and where the rest is.
    fn warn(&self, what: &str) {
        let text = format!(
            "\r\nephemeral: {what}: output is missing or repeated here; `ephemeral logs {}` prints what is \
             kept of it\r",
            self.job
        );
        self.context.terminal.message(&text);
    }

    async fn show_channel(
        &mut self,
        channel: Channel,
        keyboard: &mut Keyboard,
        interrupt: &mut Interrupt,
    ) -> Result<Left, CliError> {
        let mut resized = signal(SignalKind::window_change())
            .map_err(|error| CliError::chain("can't install the signal handlers", &error))?;
        let resize = channel.resizer();
        if let Some((cols, rows)) = raw_terminal::size() {
            resize(cols, rows);
        }
        let (closed, connected) = (channel.closed(), channel.connected());
        let (mut screen, mut keys) = tokio::io::split(channel);
        let (mut changed, mut piece) = (connected.clone(), vec![0; 64 << 10]);
        loop {
            tokio::select! {
                read = screen.read(&mut piece) => match read {
                    Ok(0) => {
                        self.tell(&closed.await);
                        return Ok(Left::Closed);
                    }
                    Ok(count) => tokio::select! {
                        printed = self.print(&piece[..count]) => printed?,
                        signal = interrupt.received() => return Ok(Left::Ended(signal)),
                    },
                    Err(_) => return Ok(Left::Lost),
                },
                // What is typed without a connection waits here: it is lost in a channel that can't be resumed.
                typed = keyboard.input.next(), if keyboard.is_open && *connected.borrow() => {
                    if !self.send(typed, keyboard, &mut keys).await {
                        return Ok(Left::Detached);
                    }
                }
                // An error means that the channel ends, which the screen tells.
                Ok(()) = changed.changed() => {}
                _ = resized.recv() => {
                    if let Some((cols, rows)) = raw_terminal::size() {
                        resize(cols, rows);
                    }
                }
                signal = interrupt.received() => return Ok(Left::Ended(signal)),
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

    /// Sends what was typed; false if the user detaches.
    async fn send(
        &self,
        typed: Option<Vec<u8>>,
        keyboard: &mut Keyboard,
        keys: &mut (impl AsyncWriteExt + Unpin),
    ) -> bool {
        // A failure of a write shows when the screen is read.
        let Some(typed) = typed else {
            keyboard.is_open = false;
            let _ = keys.write_all(&[END_OF_INPUT]).await;
            return true;
        };
        let detaches = self.may_detach && keyboard.raw.is_terminal();
        let end = typed.iter().position(|key| *key == DETACH && detaches);
        let _ = keys.write_all(&typed[..end.unwrap_or(typed.len())]).await;
        end.is_none()
    }

    async fn print(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.output.write(bytes).await.map_err(|error| CliError::output(&error))
    }

    /// Opens the terminal once that is possible; `None` if the command has ended.
    async fn open(&self, progress: impl Fn(String)) -> Result<Option<Channel>, CliError> {
        loop {
            let view = wait_for_job(self.client, self.job, 20).await?;
            if view.is_final() {
                return Ok(None);
            }
            match view.terminal {
                Some(offer) => return open(self.client, &offer).await.map(Some),
                None => progress(format!("opening a terminal: {}", view.status)),
            }
        }
    }

    /// Opens the terminal again; `None` if the command has ended.
    async fn reconnect(&self) -> Result<Option<Channel>, CliError> {
        let deadline = Instant::now() + RECONNECT_TIME;
        loop {
            let opened = async {
                if wait_for_job(self.client, self.job, 0).await?.is_final() {
                    return Ok(None);
                }
                reopen(self.client, self.job).await?;
                self.open(|_| {}).await
            };
            match opened.await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    sleep(RECONNECT_DELAY).await;
                }
                opened => {
                    let hint = format!("`ephemeral attach {}` opens the terminal again", self.job);
                    return opened.map_err(|error| error.hint(hint));
                }
            }
        }
    }

    /// Whether the command has ended; false if that can't be known.
    async fn has_ended(&self) -> bool {
        let deadline = Instant::now() + END_DELAY;
        loop {
            match wait_for_job(self.client, self.job, 1).await {
                Ok(job) if job.is_final() => return true,
                // The wait is short if another client may open the terminal.
                Ok(_) if Instant::now() < deadline => sleep(END_POLL).await,
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

async fn open(client: &Client, offer: &DataChannel) -> Result<Channel, CliError> {
    let url = client.reachable(&offer.stream_url);
    let options = data_channel::Options {
        resume: RESUME_TIME,
        acknowledgement_delay: ACKNOWLEDGEMENT_DELAY,
        ..Default::default()
    };
    data_channel::open_with(options, &url, &offer.token_value, &[])
        .await
        .map_err(|error| CliError::chain("can't open the terminal", &error).transient())
}
