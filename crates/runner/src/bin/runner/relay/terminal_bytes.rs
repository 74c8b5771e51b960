use std::io;

use runner::protocol::{Decoder, Event, Input, Message, Request};
use rustix::termios::Winsize;

use super::Translation;

/// `--terminal`: the bytes of a job's terminal.
pub(crate) struct TerminalBytes {
    job_id: String,
    events: Decoder<Event>,
    /// The runner has opened the terminal.
    is_open: bool,
    is_over: bool,
}

impl TerminalBytes {
    pub(crate) fn new(job_id: String) -> Self {
        Self { job_id, events: Decoder::default(), is_open: false, is_over: false }
    }

    fn show(&mut self, event: Event, to_caller: &mut Vec<u8>) {
        match event {
            Event::Output(output) => to_caller.extend_from_slice(&output.bytes),
            Event::Exited(_) => self.is_over = true,
            Event::Unknown => self.end("this shell has no such terminal", to_caller),
            Event::Started => self.is_open = true,
            // The command has ended while something was typed. What it has shown, and its end, follow.
            Event::Error { .. } if self.is_open => {}
            Event::Error { message, .. } => self.end(&message, to_caller),
            Event::Ready { .. } | Event::Ok => {}
        }
    }

    fn end(&mut self, message: &str, to_caller: &mut Vec<u8>) {
        to_caller.extend_from_slice(format!("runner: {message}\r\n").as_bytes());
        self.is_over = true;
    }
}

impl Translation for TerminalBytes {
    fn open(&mut self, to_runner: &mut Vec<u8>, _: &mut Vec<u8>) -> io::Result<()> {
        let open = Request::Terminal { job_id: self.job_id.clone(), from: 0 };
        open.encode_into(to_runner).map_err(io::Error::other)
    }

    fn caller_sent(&mut self, piece: &[u8], to_runner: &mut Vec<u8>) -> io::Result<()> {
        let input = Request::Input(Input(piece.to_vec()));
        input.encode_into(to_runner).map_err(io::Error::other)
    }

    fn runner_sent(&mut self, piece: &[u8], to_caller: &mut Vec<u8>) -> io::Result<()> {
        self.events.feed(piece);
        // What follows the end or a refusal are refusals of later input.
        while !self.is_over
            && let Some(event) = self.events.next().map_err(io::Error::other)?
        {
            self.show(event, to_caller);
        }
        Ok(())
    }

    fn runner_closed(&mut self, _: &mut Vec<u8>) {}

    fn resized(&mut self, size: Winsize, to_runner: &mut Vec<u8>) -> io::Result<()> {
        let resize = Request::Resize { cols: size.ws_col, rows: size.ws_row };
        resize.encode_into(to_runner).map_err(io::Error::other)
    }

    fn caller_is_over(&self) -> bool {
        false
    }

    fn runner_is_over(&self) -> bool {
        self.is_over
    }
}
