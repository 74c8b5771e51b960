//! Output of the commands. Results go to standard output, messages to standard error; progress is shown
//! only if standard error is a terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::error::CliError;

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Print JSON instead of text.
    pub(crate) json: bool,
    /// Standard error is a terminal, and JSON is not wanted.
    interactive: bool,
}

/// Progress of a wait. Dropping it clears the line.
pub(crate) struct Spinner(Option<ProgressBar>);

/// Standard output without a buffer. That of Rust writes up to the last line break, and the rest apart.
pub(crate) struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Terminal {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, interactive: !json && io::stderr().is_terminal() }
    }

    /// Prints a line of the result.
    pub(crate) fn line(self, text: &str) -> Result<(), CliError> {
        put(io::stdout(), format!("{text}\n").as_bytes())
    }

    /// Prints a line of the result as JSON. Characters that control a terminal are escaped: the JSON of serde has
    /// U+007F to U+009F as they are.
    pub(crate) fn json(self, value: &Value) -> Result<(), CliError> {
        let mut line = String::new();
        for c in value.to_string().chars() {
            // Only strings have such characters.
            if c.is_control() {
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                line.push(c);
            }
        }
        self.line(&line)
    }

    /// Prints the result: `value` as JSON, or `text`.
    pub(crate) fn result(self, value: &Value, text: &str) -> Result<(), CliError> {
        if self.json { self.json(value) } else { self.line(text) }
    }

    /// Passes on output of a command.
    pub(crate) fn bytes(self, stream: Stream, bytes: &[u8]) -> Result<(), CliError> {
        match stream {
            Stream::Stdout => put(Unbuffered, bytes),
            Stream::Stderr => put(io::stderr(), bytes),
        }
    }

    /// Prints a message only if standard error is a terminal.
    pub(crate) fn note(self, text: &str) {
        if self.interactive {
            self.message(text);
        }
    }

    /// Prints a message on standard error.
    pub(crate) fn message(self, text: &str) {
        // Standard error may be closed; there is no other place for the message.
        let _ = put(io::stderr(), format!("{text}\n").as_bytes());
    }

    /// Progress of a copy of so many bytes, if that is known.
    pub(crate) fn progress(self, text: &str, length: Option<u64>) -> Progress {
        if !self.interactive {
            return Progress(None);
        }
        let (bar, template) = match length {
            Some(length) => (
                ProgressBar::new(length),
                "{msg} {bar:30.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta:.dim}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner:.cyan} {msg} {bytes} {bytes_per_sec} {elapsed:.dim}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(Some(Arc::new(Bar(bar.with_message(text.to_owned())))))
    }

    pub(crate) fn spinner(self, text: impl Into<String>) -> Spinner {
        if !self.interactive {
            return Spinner(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Spinner(Some(bar))
    }
}

/// Progress of a copy. Dropping the last clone clears the line.
#[derive(Clone)]
pub(crate) struct Progress(Option<Arc<Bar>>);

struct Bar(ProgressBar);

impl Progress {
    pub(crate) fn add(&self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.0.inc(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// An output stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Spinner {
    pub(crate) fn set_message(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.into());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn put(mut to: impl Write, bytes: &[u8]) -> Result<(), CliError> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| CliError::output(&error))
}
