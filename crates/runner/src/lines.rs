//! Encodes a byte stream as lines of base64, to carry the protocol over a terminal: a terminal is
//! not 8-bit clean, and a relay such as ECS Exec may split its text only at UTF-8 boundaries and turn
//! LF into CRLF.
//!
//! `runner --stdio` sends [`GREETING`] once its terminal is in raw mode; the caller must send nothing
//! before it has received the greeting. After that both sides send lines of base64, and [`END`]
//! before they close the connection.

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

/// The runner's first line ends with this text. Whatever precedes it (a banner, a shell prompt) is
/// ignored.
pub const GREETING: &str = "ephemeral-runner-stdio/1";
/// The last line of a sender; it sends nothing more.
pub const END: &str = ".\n";

/// Largest number of bytes that [`encode_into`] puts into one line, before encoding.
const LINE_BYTES: usize = 3 << 10;
/// Longest line that [`Decoder`] accepts, in characters; about four times what [`encode_into`] makes.
const MAX_LINE_CHARS: usize = 16 << 10;

/// A line is not valid base64 or too long. The rest of the stream can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("received a line that is not valid base64")]
pub struct LineError;

/// Appends the bytes to `out` as lines of base64.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(LINE_BYTES) {
        out.extend_from_slice(STANDARD.encode(chunk).as_bytes());
        out.push(b'\n');
    }
}

/// Decodes lines that arrive in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    /// The current, still incomplete line.
    line: Vec<u8>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting,
    Open,
    Ended,
}

impl Decoder {
    /// A decoder for the caller's side: ignores everything up to the greeting.
    pub fn before_greeting() -> Self {
        Self { line: Vec::new(), phase: Phase::Greeting }
    }

    /// A decoder for the runner's side, which receives no greeting.
    pub fn open() -> Self {
        Self { line: Vec::new(), phase: Phase::Open }
    }

    /// Whether the greeting was received.
    pub fn is_greeted(&self) -> bool {
        self.phase != Phase::Greeting
    }

    /// Whether the sender's [`END`] was received.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Appends the decoded bytes of the next piece to `out`.
    ///
    /// # Errors
    /// [`LineError`]; nothing more can be decoded.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), LineError> {
        let mut parts = piece.split(|byte| matches!(byte, b'\n' | b'\r')).peekable();
        while let Some(part) = parts.next() {
            self.line.extend_from_slice(part);
            if parts.peek().is_some() {
                self.end_line(out)?;
            } else if self.line.len() > MAX_LINE_CHARS {
                self.shorten()?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), LineError> {
        match self.phase {
            Phase::Greeting if self.line.ends_with(GREETING.as_bytes()) => {
                self.phase = Phase::Open;
            }
            Phase::Open if self.line == END.trim_end().as_bytes() => self.phase = Phase::Ended,
            Phase::Open => STANDARD.decode_vec(&self.line, out).map_err(|_| LineError)?,
            Phase::Greeting | Phase::Ended => {}
        }
        self.line.clear();
        Ok(())
    }

    /// Drops the beginning of an overlong line that precedes the greeting; only its end may still
    /// contain the greeting. Later lines of that length are errors.
    fn shorten(&mut self) -> Result<(), LineError> {
        if self.phase == Phase::Open {
            return Err(LineError);
        }
        self.line.drain(..self.line.len() - GREETING.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
