//! The error that a command reports: what failed, what to do next, and an exit code.

use std::fmt;

/// The exit codes of `ephemeral` itself. `run` and `exec` also pass on those of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Gone = 3,
    Auth = 4,
    Unreachable = 5,
}

/// An error that ends a command. `main` prints it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit }
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Exit::Other, message)
    }

    /// The reader of our output closed the pipe. Nothing is printed about it.
    pub(crate) fn broken_pipe() -> Self {
        Self::other("")
    }

    /// Whether there is a message to print.
    pub(crate) const fn has_message(&self) -> bool {
        !self.message.is_empty()
    }

    /// `action`, the error and all of its causes in one line.
    pub(crate) fn chain(action: &str, error: &dyn std::error::Error) -> Self {
        let mut message = format!("{action}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::other(message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message.trim_end_matches('.'))?;
        match &self.hint {
            Some(hint) => write!(f, ". hint: {hint}"),
            None => Ok(()),
        }
    }
}
