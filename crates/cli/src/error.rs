//! The error that a command reports: what failed, what to do next, and an exit code.

use std::{fmt, io};

/// The exit codes of `ephemeral` itself. `run` and `exec` also pass on those of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Gone = 3,
    Auth = 4,
    Unreachable = 5,
    /// 128 + SIGPIPE, as the shell reports a program that wrote to a closed pipe.
    BrokenPipe = 141,
}

/// How a caller may react to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Permanent,
    /// The same request may succeed later: the server has responded before, and may be restarting.
    Transient,
    /// Our own output can't be written.
    Output,
}

/// An error that ends a command. `main` prints it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    message: String,
    hint: Option<String>,
    exit: Exit,
    kind: Kind,
    /// The code of the server's response, if it refused a request.
    code: String,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            exit,
            kind: Kind::Permanent,
            code: String::new(),
        }
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Exit::Other, message)
    }

    /// The error for output that can't be written. Nothing is printed about a reader that closed the pipe.
    pub(crate) fn output(error: &io::Error) -> Self {
        let failed = if error.kind() == io::ErrorKind::BrokenPipe {
            Self::other("")
        } else {
            Self::chain("can't write the output", error)
        };
        Self { kind: Kind::Output, ..failed }
    }

    /// Notes the code of the server's response.
    pub(crate) fn with_code(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }

    /// Whether the server refused a request with this code.
    pub(crate) fn is_code(&self, code: &str) -> bool {
        self.code == code
    }

    /// The same error in other words.
    pub(crate) fn with_message(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// The same error of this thing.
    pub(crate) fn about(self, subject: &impl fmt::Display) -> Self {
        Self { message: format!("{subject}: {}", self.message), ..self }
    }

    /// Marks the error as one that may not occur again if the request is repeated later.
    pub(crate) const fn transient(mut self) -> Self {
        self.kind = Kind::Transient;
        self
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.kind == Kind::Transient
    }

    /// Whether our own output could not be written.
    pub(crate) fn is_output(&self) -> bool {
        self.kind == Kind::Output
    }

    /// The same error after which a job may still be running: it names the job and how to continue.
    pub(crate) fn while_following(self, job: &str) -> Self {
        match self.kind {
            Kind::Transient => Self {
                message: format!("{}; job {job} may still be running", self.message),
                ..self
            }
            .with_exit(Exit::Unreachable)
            .hint(format!("`ephemeral logs -f {job}` follows it once the server responds again")),
            Kind::Output if !self.has_message() => self.with_exit(Exit::BrokenPipe),
            Kind::Output | Kind::Permanent => self,
        }
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

#[cfg(test)]
mod tests;
