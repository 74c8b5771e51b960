//! What goes wrong, as it is told to the user: what, what to do next, and an exit code.

use std::fmt;

/// The exit codes that are not a command's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Gone = 3,
    Auth = 4,
    Unreachable = 5,
}

/// One failure. Printed once, in `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit }
    }

    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self::new(Exit::Other, what)
    }

    /// Whoever read what we print has gone away, and needs no words about it.
    pub(crate) fn hung_up() -> Self {
        Self::other("")
    }

    /// Whether there is something to say.
    pub(crate) const fn has_words(&self) -> bool {
        !self.what.is_empty()
    }

    /// The failure with all its causes in one line.
    pub(crate) fn chain(what: &str, error: &dyn std::error::Error) -> Self {
        let mut words = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            words.push_str(": ");
            words.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::other(words)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what.trim_end_matches('.'))?;
        match &self.hint {
            Some(hint) => write!(f, ". hint: {hint}"),
            None => Ok(()),
        }
    }
}
