//! Encodes messages as frames and decodes them.
//!
//! A frame is the length of the rest (u32, big endian), one byte for its kind, and a body. The body of
//! a control frame is JSON. A start frame holds the length of its JSON (u32), the JSON, and the raw
//! standard input. An output frame holds the stream (u8), the offset (u64), and the raw bytes. An input
//! frame holds the raw bytes.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Event, Input, Output, Request, Start, Stream};

/// Length of the longest frame in bytes, without its length field.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

pub(super) const LENGTH_BYTES: usize = 4;
const OUTPUT_HEAD_BYTES: usize = 1 + 8;

pub(super) const CONTROL: u8 = 0;
const START: u8 = 1;
const OUTPUT: u8 = 2;
const INPUT: u8 = 3;

/// A received or an outgoing message violates the protocol. The connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    #[error("a frame of {0} bytes exceeds the limit of {MAX_FRAME_BYTES} bytes")]
    TooLong(usize),
    #[error("a frame is empty")]
    Empty,
    #[error("frame kind {0} is not supported")]
    UnknownKind(u8),
    #[error("a frame's body is malformed")]
    Malformed,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for super::Event {}
}

/// The content of a frame: a [`Request`] or an [`Event`].
pub trait Message: sealed::Sealed + Sized {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`]; `out` is left unchanged.
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError>;

    /// Decodes the part of a frame that follows its length.
    ///
    /// # Errors
    /// Any [`ProtocolError`] except `TooLong` and `Empty`.
    fn decode(kind: u8, body: &[u8]) -> Result<Self, ProtocolError>;

    /// Encodes the message as one frame.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(out)
    }
}

impl Message for Request {
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let start = match self {
            Self::Start(start) => start,
            Self::Input(input) => return frame(out, INPUT, &[&input.0]),
            Self::Attach { .. }
            | Self::Signal { .. }
            | Self::Cancel { .. }
            | Self::Release { .. }
            | Self::SetDeadline { .. }
            | Self::Probe
            | Self::Terminal { .. }
            | Self::Resize { .. }
            | Self::Files(_)
            | Self::Processes(_) => return frame(out, CONTROL, &[&json(self)?]),
        };
        let json = json(start)?;
        let length = u32::try_from(json.len()).map_err(|_| ProtocolError::TooLong(json.len()))?;
        frame(out, START, &[&length.to_be_bytes(), &json, &start.stdin])
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, ProtocolError> {
        match kind {
            CONTROL => parse(body).and_then(|request| match request {
                // A `Start` in a control frame would silently lose its standard input.
                Self::Start(_) | Self::Input(_) => Err(ProtocolError::Malformed),
                Self::Attach { .. }
                | Self::Signal { .. }
                | Self::Cancel { .. }
                | Self::Release { .. }
                | Self::SetDeadline { .. }
                | Self::Probe
                | Self::Terminal { .. }
                | Self::Resize { .. }
                | Self::Files(_)
                | Self::Processes(_) => Ok(request),
            }),
            START => decode_start(body).map(Self::Start),
            INPUT => Ok(Self::Input(Input(body.to_vec()))),
            kind => Err(ProtocolError::UnknownKind(kind)),
        }
    }
}

impl Message for Event {
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let Self::Output(output) = self else {
            return frame(out, CONTROL, &[&json(self)?]);
        };
        let stream = match output.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        frame(out, OUTPUT, &[&[stream], &output.offset.to_be_bytes(), &output.bytes])
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, ProtocolError> {
        match kind {
            CONTROL => parse(body),
            OUTPUT => decode_output(body).map(Self::Output),
            kind => Err(ProtocolError::UnknownKind(kind)),
        }
    }
}

fn decode_start(body: &[u8]) -> Result<Start, ProtocolError> {
    let (length, rest) = body.split_first_chunk().ok_or(ProtocolError::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (json, stdin) = rest.split_at_checked(length).ok_or(ProtocolError::Malformed)?;
    let start: Start = parse(json)?;
    Ok(Start { stdin: stdin.to_vec(), ..start })
}

fn decode_output(body: &[u8]) -> Result<Output, ProtocolError> {
    let (head, bytes) =
        body.split_first_chunk::<OUTPUT_HEAD_BYTES>().ok_or(ProtocolError::Malformed)?;
    let [stream, offset @ ..] = *head;
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Err(ProtocolError::Malformed),
    };
    Ok(Output { stream, offset: u64::from_be_bytes(offset), bytes: bytes.to_vec() })
}

fn frame(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) -> Result<(), ProtocolError> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let field = u32::try_from(length).map_err(|_| ProtocolError::TooLong(length))?;
    if length > MAX_FRAME_BYTES {
        return Err(ProtocolError::TooLong(length));
    }
    out.reserve(LENGTH_BYTES + length);
    out.extend_from_slice(&field.to_be_bytes());
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    serde_json::to_vec(value).map_err(|_| ProtocolError::Malformed)
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    serde_json::from_slice(body).map_err(|_| ProtocolError::Malformed)
}

/// Splits a byte stream, fed in pieces of any size, into messages.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Vec<u8>,
    /// Position of the next frame in `buffer`.
    start: usize,
    messages: PhantomData<M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, messages: PhantomData }
    }
}

impl<M: Message> Decoder<M> {
    /// Adds the next bytes of the stream. Call [`Decoder::next`] until it returns `None` before
    /// feeding more; the buffer then never holds more than one frame and one piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no byte was fed that is not part of a message that was returned.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// The next complete message, or `None` until more bytes are fed.
    ///
    /// # Errors
    /// A [`ProtocolError`]; the rest of the stream can't be decoded.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, not the end")]
    pub fn next(&mut self) -> Result<Option<M>, ProtocolError> {
        let pending = &self.buffer[self.start..];
        let Some((length, rest)) = pending.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(ProtocolError::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let (kind, body) = frame.split_first().ok_or(ProtocolError::Empty)?;
        let message = M::decode(*kind, body)?;
        self.start += LENGTH_BYTES + length;
        if self.start == self.buffer.len() {
            // Frees the buffer: most connections are idle most of the time.
            *self = Self::default();
        }
        Ok(Some(message))
    }
}
