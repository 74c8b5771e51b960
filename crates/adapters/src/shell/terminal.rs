//! A connection to the terminal of a job.

use domain::{JobId, TaskId, ports::ShellError};
use runner::protocol::{Cause, Event, Input, Message, Request};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::{
    Dial, Transport,
    connection::{ConnectionError, EventReader},
};

/// The most bytes that are sent in one frame of input.
const INPUT_BYTES: usize = 64 << 10;

/// What is typed into a terminal.
pub struct TerminalInput {
    stream: WriteHalf<Box<dyn Transport>>,
}

/// What a terminal shows, from the oldest byte on that its runner has kept.
pub struct TerminalOutput {
    stream: ReadHalf<Box<dyn Transport>>,
    events: EventReader,
    /// The runner has opened the terminal.
    is_open: bool,
}

/// Why a terminal shows nothing more.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The command has ended for this reason, and all of its output was received.
    #[error("the command has ended")]
    Ended(Cause),
    /// The runner refused the terminal; the message says why.
    #[error("{0}")]
    Refused(String),
    /// The connection failed.
    #[error("the connection to the shell failed")]
    Lost(#[source] domain::ports::BoxError),
}

/// Opens the terminal of a job. Dropping both halves leaves its command running.
///
/// # Errors
/// As those of [`Dial::open`].
pub async fn open_terminal(
    dial: &impl Dial,
    task: &TaskId,
    job: JobId,
) -> Result<(TerminalInput, TerminalOutput), ShellError> {
    let (read, write) = tokio::io::split(dial.open(task).await?);
    let mut input = TerminalInput { stream: write };
    let open = Request::Terminal { job_id: job.to_string(), from: 0 };
    // A failure shows when the output is read.
    let _ = input.send(&open).await;
    let output = TerminalOutput { stream: read, events: EventReader::default(), is_open: false };
    Ok((input, output))
}

impl TerminalInput {
    /// Types bytes. Waits while the runner has too many for its terminal.
    ///
    /// # Errors
    /// The connection failed; [`TerminalOutput::next`] tells why.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), domain::ports::BoxError> {
        for piece in bytes.chunks(INPUT_BYTES) {
            self.send(&Request::Input(Input(piece.to_vec()))).await?;
        }
        Ok(())
    }

    /// Changes the size of the terminal, in characters.
    ///
    /// # Errors
    /// As those of [`TerminalInput::write`].
    pub async fn resize(&mut self, cols: u16, rows: u16) -> Result<(), domain::ports::BoxError> {
        Ok(self.send(&Request::Resize { cols, rows }).await?)
    }

    async fn send(&mut self, request: &Request) -> Result<(), ConnectionError> {
        let frame = request.encode().map_err(ConnectionError::Protocol)?;
        self.stream.write_all(&frame).await?;
        Ok(self.stream.flush().await?)
    }
}

impl TerminalOutput {
    /// The next bytes.
    ///
    /// # Errors
    /// [`TerminalError`], as the last result.
    pub async fn next(&mut self) -> Result<Vec<u8>, TerminalError> {
        loop {
            let lost = |error: ConnectionError| TerminalError::Lost(error.into());
            match self.events.next(&mut self.stream).await.map_err(lost)? {
                Event::Output(output) => return Ok(output.bytes),
                Event::Exited(exit) => return Err(TerminalError::Ended(exit.cause)),
                Event::Unknown => {
                    return Err(TerminalError::Refused("the shell has no such terminal".into()));
                }
                Event::Started => self.is_open = true,
                // The command has ended while something was typed. What it has shown, and its end, follow.
                Event::Error { .. } if self.is_open => {}
                Event::Error { message, .. } => return Err(TerminalError::Refused(message)),
                Event::Ready { .. } | Event::Ok => {}
            }
        }
    }
}

impl std::fmt::Debug for TerminalInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalInput").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TerminalOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalOutput").finish_non_exhaustive()
    }
}
