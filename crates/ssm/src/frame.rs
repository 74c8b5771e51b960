//! The binary message format: a big-endian header and a payload, one message per WebSocket message.
//!
//! Offsets and special cases follow the public sources of AWS's client (session-manager-plugin, `ClientMessage`) and agent
//! (amazon-ssm-agent, `AgentMessage`).

mod id;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
pub use id::MessageId;
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::message::{MessageType, PayloadType};

/// The length of a header with a payload type, which is the value of its first field.
const FULL: usize = 116;
/// The length of a header without a payload type, which the service uses for its own messages.
const SHORT: usize = 112;

const TYPE: std::ops::Range<usize> = 4..36;
const CREATED: usize = 40;
const SEQUENCE: usize = 48;
const FLAGS: usize = 56;
const ID: usize = 64;
const DIGEST: std::ops::Range<usize> = 80..112;
const PAYLOAD_TYPE: usize = 112;

/// The flag of the first message of a stream.
pub const SYN: u64 = 1;
/// The flag that, together with [`SYN`], marks an acknowledgement.
pub const FIN: u64 = 2;

/// The header of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub message_type: MessageType,
    /// The creation time in milliseconds since the Unix epoch. AWS's client rejects 0.
    pub created: u64,
    /// The position in the stream of its direction, from 0.
    pub sequence: i64,
    pub flags: u64,
    pub id: MessageId,
    /// The payload type; `None` selects the short header.
    pub payload_type: Option<PayloadType>,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub header: Header,
    /// The SHA-256 digest of the payload according to the sender. Some senders write an incorrect digest.
    pub digest: [u8; 32],
    pub payload: Bytes,
}

/// The error of [`Frame::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("message of {0} bytes is too short")]
    TooShort(usize),
    #[error("header length {0} is unknown")]
    HeaderLength(u32),
    #[error("message type is empty or not UTF-8")]
    MessageType,
}

impl Frame {
    /// Whether the digest matches the payload. An empty payload is not verified.
    pub fn is_intact(&self) -> bool {
        self.payload.is_empty() || digest(&SHA256, &self.payload).as_ref() == self.digest
    }

    /// Decodes one message. The payload extends to the end of the bytes: like AWS's client and agent, this ignores its length field.
    /// The payload is copied: a part of `bytes` would keep all of the buffer in memory into which other messages were read too.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are too short, or the header length or message type is invalid.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        let short = FrameError::TooShort(bytes.len());
        let length = bytes.first_chunk().copied().map(u32::from_be_bytes).ok_or(short)?;
        let header_length = match usize::try_from(length) {
            Ok(known @ (FULL | SHORT)) => known,
            _ => return Err(FrameError::HeaderLength(length)),
        };
        if bytes.len() < header_length + 4 {
            return Err(short);
        }
        let payload_type = (header_length == FULL)
            .then(|| PayloadType::from(u32::from_be_bytes(field(&bytes, PAYLOAD_TYPE))));
        let header = Header {
            message_type: message_type(&bytes[TYPE])?,
            created: u64::from_be_bytes(field(&bytes, CREATED)),
            sequence: i64::from_be_bytes(field(&bytes, SEQUENCE)),
            flags: u64::from_be_bytes(field(&bytes, FLAGS)),
            id: MessageId::from_wire(field(&bytes, ID)),
            payload_type,
        };
        let digest = field(&bytes, DIGEST.start);
        Ok(Self { header, digest, payload: Bytes::copy_from_slice(&bytes[header_length + 4..]) })
    }
}

impl Header {
    /// Encodes one message with this header. The type is padded with spaces, or with NULs in the short form, as by the service.
    pub fn encode(&self, payload: &[u8]) -> Bytes {
        let (length, padding) = match self.payload_type {
            Some(_) => (FULL, b' '),
            None => (SHORT, 0),
        };
        let mut bytes = BytesMut::with_capacity(length + 4 + payload.len());
        bytes.put_u32(length as u32);
        let name = self.message_type.as_str().as_bytes();
        let name = &name[..name.len().min(TYPE.len())];
        bytes.put_slice(name);
        bytes.put_bytes(padding, TYPE.len() - name.len());
        bytes.put_u32(1);
        bytes.put_u64(self.created);
        bytes.put_i64(self.sequence);
        bytes.put_u64(self.flags);
        bytes.put_slice(&self.id.to_wire());
        bytes.put_slice(digest(&SHA256, payload).as_ref());
        if let Some(payload_type) = self.payload_type {
            bytes.put_u32(payload_type.into());
        }
        bytes.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        bytes.put_slice(payload);
        bytes.freeze()
    }
}

/// Reads the message type, which may be padded with spaces or NULs on either side.
fn message_type(field: &[u8]) -> Result<MessageType, FrameError> {
    let name = std::str::from_utf8(field).map_err(|_| FrameError::MessageType)?;
    match name.trim_matches([' ', '\0']) {
        "" => Err(FrameError::MessageType),
        name => Ok(MessageType::from(name)),
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    *bytes[offset..].first_chunk().expect("the length of the header was checked")
}
