//! The signals that ask this program to end, so that a command can clean up before it does.

use std::{fs, future};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// A signal that asks this program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndSignal {
    /// The terminal was closed.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    Terminate,
}

/// Receives signals from its creation on; before that, a signal ends the process at once.
pub(crate) struct Interrupt {
    /// None if SIGHUP was ignored when this program started, which is what `nohup` does.
    hangup: Option<Signal>,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl EndSignal {
    /// The exit code for this signal: 128 and its number.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Quit => 131,
            Self::Terminate => 143,
        }
    }
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::chain("can't install the signal handlers", &error))
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = SignalKind::hangup();
        let ignored = is_ignored(&status, hangup.as_raw_value());
        Ok(Self {
            hangup: if ignored { None } else { Some(listen(hangup)?) },
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal.
    pub(crate) async fn received(&mut self) -> EndSignal {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup => EndSignal::Hangup,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
            _ = self.quit.recv() => EndSignal::Quit,
            _ = self.terminate.recv() => EndSignal::Terminate,
        }
    }
}

/// Whether a process with this `/proc/PID/status` ignores the signal of this number.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests;
