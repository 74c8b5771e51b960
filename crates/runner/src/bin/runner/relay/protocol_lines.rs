use std::io;

use runner::lines::{self, Decoder};
use rustix::termios::Winsize;

use super::Translation;

/// `--stdio`: the runner's protocol as lines of base64.
pub(crate) struct ProtocolLines(Decoder);

impl ProtocolLines {
    pub(crate) fn new() -> Self {
        Self(Decoder::open())
    }
}

impl Translation for ProtocolLines {
    fn open(&mut self, _: &mut Vec<u8>, to_caller: &mut Vec<u8>) -> io::Result<()> {
        to_caller.extend_from_slice(lines::GREETING.as_bytes());
        to_caller.push(b'\n');
        Ok(())
    }

    fn caller_sent(&mut self, piece: &[u8], to_runner: &mut Vec<u8>) -> io::Result<()> {
        self.0.feed(piece, to_runner).map_err(io::Error::other)
    }

    fn runner_sent(&mut self, piece: &[u8], to_caller: &mut Vec<u8>) -> io::Result<()> {
        lines::encode_into(piece, to_caller);
        Ok(())
    }

    fn runner_closed(&mut self, to_caller: &mut Vec<u8>) {
        to_caller.extend_from_slice(lines::END.as_bytes());
    }

    /// The size of the terminal that carries the protocol has no meaning.
    fn resized(&mut self, _: Winsize, _: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }

    fn caller_is_over(&self) -> bool {
        self.0.is_over()
    }

    fn runner_is_over(&self) -> bool {
        false
    }
}
