//! SIGINT and SIGTERM, so that a command can clean up before it ends.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// Receives signals from its creation on; before that, a signal ends the process at once.
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::chain("can't install the signal handlers", &error))
        };
        Ok(Self { int: listen(SignalKind::interrupt())?, term: listen(SignalKind::terminate())? })
    }

    /// Waits for a signal and returns the exit code for it.
    pub(crate) async fn received(&mut self) -> u8 {
        tokio::select! {
            _ = self.int.recv() => 130,
            _ = self.term.recv() => 143,
        }
    }
}
