//! A frame is its length (u32, big endian, of what follows), one byte that says its kind, and a
//! body. Control frames are JSON; a start is the JSON's length (u32), the JSON, and the raw stdin;
//! output is the stream (u8), the offset (u64), and the raw bytes.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Event, Output, Request, Start, Stream};

/// The longest frame, without its length field.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;
const OUTPUT_HEAD_BYTES: usize = 1 + 8;

const CONTROL: u8 = 0;
const START: u8 = 1;
const OUTPUT: u8 = 2;

/// The peer, or the message to send, broke the protocol. The connection can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    #[error("frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    #[error("frame has no body")]
    Empty,
    #[error("frame kind {0} is not known here")]
    Kind(u8),
    #[error("frame body is malformed")]
    Malformed,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for super::Event {}
}

/// What travels in a frame: a [`Request`] or an [`Event`].
pub trait Message: sealed::Sealed + Sized {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`Violation::TooLong`], with `out` as it was.
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Violation>;

    /// Reads what follows a frame's length.
    ///
    /// # Errors
    /// Any [`Violation`] but `TooLong` and `Empty`.
    fn decode(kind: u8, body: &[u8]) -> Result<Self, Violation>;

    /// The frame alone.
    ///
    /// # Errors
    /// [`Violation::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(out)
    }
}

impl Message for Request {
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Violation> {
        let Self::Start(start) = self else {
            return frame(out, CONTROL, &[&json(self)?]);
        };
        let json = json(start)?;
        let length = u32::try_from(json.len()).map_err(|_| Violation::TooLong(json.len()))?;
        frame(out, START, &[&length.to_be_bytes(), &json, &start.stdin])
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, Violation> {
        match kind {
            CONTROL => parse(body).and_then(|request| match request {
                // A start without its own kind would silently lose its stdin.
                Self::Start(_) => Err(Violation::Malformed),
                Self::Attach { .. }
                | Self::Signal { .. }
                | Self::Cancel { .. }
                | Self::Release { .. }
                | Self::Probe => Ok(request),
            }),
            START => decode_start(body).map(Self::Start),
            kind => Err(Violation::Kind(kind)),
        }
    }
}

impl Message for Event {
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Violation> {
        let Self::Output(output) = self else {
            return frame(out, CONTROL, &[&json(self)?]);
        };
        let stream = match output.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        frame(out, OUTPUT, &[&[stream], &output.offset.to_be_bytes(), &output.bytes])
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, Violation> {
        match kind {
            CONTROL => parse(body),
            OUTPUT => decode_output(body).map(Self::Output),
            kind => Err(Violation::Kind(kind)),
        }
    }
}

fn decode_start(body: &[u8]) -> Result<Start, Violation> {
    let (length, rest) = body.split_first_chunk().ok_or(Violation::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (json, stdin) = rest.split_at_checked(length).ok_or(Violation::Malformed)?;
    let start: Start = parse(json)?;
    Ok(Start { stdin: stdin.to_vec(), ..start })
}

fn decode_output(body: &[u8]) -> Result<Output, Violation> {
    let (head, bytes) =
        body.split_first_chunk::<OUTPUT_HEAD_BYTES>().ok_or(Violation::Malformed)?;
    let [stream, offset @ ..] = *head;
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Err(Violation::Malformed),
    };
    Ok(Output { stream, offset: u64::from_be_bytes(offset), bytes: bytes.to_vec() })
}

fn frame(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) -> Result<(), Violation> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let field = u32::try_from(length).map_err(|_| Violation::TooLong(length))?;
    if length > MAX_FRAME_BYTES {
        return Err(Violation::TooLong(length));
    }
    out.reserve(LENGTH_BYTES + length);
    out.extend_from_slice(&field.to_be_bytes());
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Violation> {
    serde_json::to_vec(value).map_err(|_| Violation::Malformed)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Violation> {
    serde_json::from_slice(body).map_err(|_| Violation::Malformed)
}

/// Cuts a byte stream, fed in pieces of any size, into messages.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Vec<u8>,
    /// Where the next frame begins in `buffer`.
    start: usize,
    messages: PhantomData<M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, messages: PhantomData }
    }
}

impl<M: Message> Decoder<M> {
    /// Takes the next bytes of the stream. Drain with [`Decoder::next`] before feeding more:
    /// the buffer then never holds more than one frame and one piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more bytes are fed.
    ///
    /// # Errors
    /// A [`Violation`]; the stream can't be read any further.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, not the end")]
    pub fn next(&mut self) -> Result<Option<M>, Violation> {
        let pending = &self.buffer[self.start..];
        let Some((length, rest)) = pending.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(Violation::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let (kind, body) = frame.split_first().ok_or(Violation::Empty)?;
        let message = M::decode(*kind, body)?;
        self.start += LENGTH_BYTES + length;
        if self.start == self.buffer.len() {
            // Most connections are idle most of the time; an empty buffer costs nothing.
            *self = Self::default();
        }
        Ok(Some(message))
    }
}
