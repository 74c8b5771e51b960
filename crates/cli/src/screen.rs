//! Where words go. Results to standard output; everything about how it goes to standard error,
//! and only while somebody looks.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;

/// How to talk to the user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// JSON instead of words.
    pub(crate) json: bool,
    /// Somebody looks at standard error.
    watched: bool,
}

/// Something is under way. Cleared when dropped.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, watched: !json && io::stderr().is_terminal() }
    }

    /// A line of the result.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        put(io::stdout(), format!("{text}\n").as_bytes())
    }

    /// The result, or its words.
    pub(crate) fn result(self, value: &Value, words: &str) -> Result<(), Failure> {
        if self.json { self.line(&value.to_string()) } else { self.line(words) }
    }

    /// Bytes of a command.
    pub(crate) fn bytes(self, stream: Stream, bytes: &[u8]) -> Result<(), Failure> {
        match stream {
            Stream::Stdout => put(io::stdout(), bytes),
            Stream::Stderr => put(io::stderr(), bytes),
        }
    }

    /// A word for who looks; pipes stay quiet.
    pub(crate) fn note(self, text: &str) {
        if self.watched {
            self.tell(text);
        }
    }

    /// A line on standard error, looked at or not.
    pub(crate) fn tell(self, text: &str) {
        // Who closed standard error doesn't want to know.
        let _ = put(io::stderr(), format!("{text}\n").as_bytes());
    }

    pub(crate) fn spinner(self, text: impl Into<String>) -> Spinner {
        if !self.watched {
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

/// One of a command's two.
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
    pub(crate) fn say(&self, text: impl Into<String>) {
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

fn put(mut to: impl Write, bytes: &[u8]) -> Result<(), Failure> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::hung_up()
        } else {
            Failure::chain("can't write", &error)
        }
    })
}
