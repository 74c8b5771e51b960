//! The commands of the load, and the output that each of them must have.
//!
//! Each command appends a line to the run log of its session at its start and at its end. The run log
//! shows how often each command ran, in which order, and beside which others.

use std::fmt::Write as _;

use fastrand::Rng;

/// The run log of a session.
const RUN_LOG: &str = "/tmp/run-log";

/// What a command does between its two lines in the run log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Writes a line to stderr.
    Quick,
    /// Writes lines, one every 20 ms.
    Chatty { lines: u32 },
    /// Writes much output at once.
    Bulk { lines: u32 },
    /// Sleeps without output.
    Sleep { tenths: u32 },
    /// Kills itself with SIGKILL.
    KillsItself,
    /// Sleeps beyond its timeout.
    TooLong,
    /// Sleeps until it is cancelled or its session ends.
    Endless,
    /// Sleeps until its caller sends SIGTERM.
    Signalled,
    /// Writes lines until a file appears.
    Ticks,
}

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    /// The command's number in the run log; unique in the run.
    pub(crate) number: u64,
    pub(crate) body: Body,
    pub(crate) code: i32,
}

impl Script {
    /// A random command that ends by itself.
    pub(crate) fn any(number: u64, rng: &mut Rng) -> Self {
        let body = match rng.usize(..10) {
            0..=3 => Body::Quick,
            4 | 5 => Body::Chatty { lines: 10 + size(rng, 30) },
            6 => Body::Bulk { lines: 1000 + size(rng, 20_000) },
            7 => Body::Sleep { tenths: 1 + size(rng, 15) },
            8 => Body::KillsItself,
            _ => Body::TooLong,
        };
        let code = i32::try_from(rng.usize(..4)).unwrap_or(0);
        Self { number, body, code }
    }

    /// The line for `sh -c`. The processes of the load are found on the host by `mark`.
    pub(crate) fn line(&self, mark: &str) -> String {
        let Self { number, body, code } = self;
        let body = match body {
            Body::Quick => "echo err >&2".to_owned(),
            Body::Chatty { lines } => {
                format!(
                    "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
                )
            }
            Body::Bulk { lines } => format!("seq 1 {lines}"),
            Body::Sleep { tenths } => format!("sleep {}.{}", tenths / 10, tenths % 10),
            Body::KillsItself => "kill -9 $$".to_owned(),
            Body::TooLong | Body::Endless | Body::Signalled => "sleep 600".to_owned(),
            Body::Ticks => "i=0; while [ ! -e /tmp/enough ]; do echo tick $i; i=$((i+1)); \
                            sleep 0.1; done; echo $i >&2"
                .to_owned(),
        };
        format!(
            ": {mark}; echo +{number} >> {RUN_LOG}; grep -c '^+{number}$' {RUN_LOG}; {body}; \
             echo -{number} >> {RUN_LOG}; exit {code}"
        )
    }

    /// The timeout in seconds.
    pub(crate) const fn timeout(&self) -> u32 {
        if matches!(self.body, Body::TooLong) { 1 } else { 600 }
    }

    /// The stdout of a command that ended by itself; `None` if it is not known.
    pub(crate) fn stdout(&self) -> Option<String> {
        let mut text = "1\n".to_owned();
        let written = match self.body {
            Body::Quick | Body::Sleep { .. } | Body::KillsItself => Ok(()),
            Body::Chatty { lines } => (0..lines).try_for_each(|i| writeln!(text, "line {i}")),
            Body::Bulk { lines } => (1..=lines).try_for_each(|i| writeln!(text, "{i}")),
            Body::TooLong | Body::Endless | Body::Signalled | Body::Ticks => return None,
        };
        written.is_ok().then_some(text)
    }

    /// The signal that ends the command.
    pub(crate) const fn signal(&self) -> Option<i64> {
        match self.body {
            Body::KillsItself => Some(9),
            Body::Signalled => Some(15),
            Body::Quick
            | Body::Chatty { .. }
            | Body::Bulk { .. }
            | Body::Sleep { .. }
            | Body::TooLong
            | Body::Endless
            | Body::Ticks => None,
        }
    }

    /// Whether an undisturbed command writes its second line to the run log.
    pub(crate) const fn logs_its_end(&self) -> bool {
        self.signal().is_none() && !matches!(self.body, Body::TooLong | Body::Endless)
    }
}

/// A command line that prints the run log.
pub(crate) fn print_run_log(mark: &str) -> String {
    format!(": {mark}; cat {RUN_LOG} 2>/dev/null; true")
}

fn size(rng: &mut Rng, end: usize) -> u32 {
    u32::try_from(rng.usize(..end)).unwrap_or(0)
}
