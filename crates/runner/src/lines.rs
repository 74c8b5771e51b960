//! Bytes as lines of text, for a way that carries nothing else: a terminal is not 8-bit clean, and
//! what relays one may cut it at the borders of UTF-8 and turn LF into CRLF.
//!
//! `runner --stdio` says [`GREETING`] once its terminal is raw; before that nothing must be sent to
//! it. From then on both sides send lines of base64, and [`END`] when they leave.

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

/// The end of the line that comes before all others. What comes before it says nothing.
pub const GREETING: &str = "ephemeral-runner-stdio/1";
/// The last line: its sender is gone.
pub const END: &str = ".\n";

/// In one line, before they are encoded.
const LINE_BYTES: usize = 3 << 10;
/// Encoded, with room for other senders' habits.
const MAX_LINE_CHARS: usize = 16 << 10;

/// A line is not what [`encode_into`] makes. What follows can't be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a line is not base64")]
pub struct Garbled;

/// Appends the bytes as lines.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(LINE_BYTES) {
        out.extend_from_slice(STANDARD.encode(chunk).as_bytes());
        out.push(b'\n');
    }
}

/// Reads lines from pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    /// The line that has not ended yet.
    line: Vec<u8>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting,
    Open,
    Over,
}

impl Decoder {
    /// For the caller's side: everything up to the greeting is passed over.
    pub fn before_greeting() -> Self {
        Self { line: Vec::new(), phase: Phase::Greeting }
    }

    /// For the runner's side, which is not greeted.
    pub fn open() -> Self {
        Self { line: Vec::new(), phase: Phase::Open }
    }

    /// Whether the greeting has come.
    pub fn is_greeted(&self) -> bool {
        self.phase != Phase::Greeting
    }

    /// Whether the other side has left.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes the next piece and appends what it says to `out`.
    ///
    /// # Errors
    /// [`Garbled`]; nothing more can be read.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Garbled> {
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

    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), Garbled> {
        match self.phase {
            Phase::Greeting if self.line.ends_with(GREETING.as_bytes()) => {
                self.phase = Phase::Open;
            }
            Phase::Open if self.line == END.trim_end().as_bytes() => self.phase = Phase::Over,
            Phase::Open => STANDARD.decode_vec(&self.line, out).map_err(|_| Garbled)?,
            Phase::Greeting | Phase::Over => {}
        }
        self.line.clear();
        Ok(())
    }

    /// Of a line that can't be one of ours, only its end may still matter.
    fn shorten(&mut self) -> Result<(), Garbled> {
        if self.phase == Phase::Open {
            return Err(Garbled);
        }
        self.line.drain(..self.line.len() - GREETING.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
