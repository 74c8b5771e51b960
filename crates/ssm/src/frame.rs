//! The binary message: one per WebSocket message, header in front, big-endian.
//!
//! Offsets and quirks as read in the public sources of AWS's client (session-manager-plugin) and agent (amazon-ssm-agent).

mod id;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
pub use id::MessageId;
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::message::{MessageType, PayloadType};

/// A header with a payload type; its length is the value of the first field.
const FULL: usize = 116;
/// A header without one, as the service writes it for messages of its own.
const SHORT: usize = 112;

const TYPE: std::ops::Range<usize> = 4..36;
const CREATED: usize = 40;
const SEQUENCE: usize = 48;
const FLAGS: usize = 56;
const ID: usize = 64;
const DIGEST: std::ops::Range<usize> = 80..112;
const PAYLOAD_TYPE: usize = 112;

/// On the first message of a stream.
pub const SYN: u64 = 1;
/// With [`SYN`], on acknowledgements.
pub const FIN: u64 = 2;

/// What a message says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub message_type: MessageType,
    /// Milliseconds since the epoch. Readers refuse 0.
    pub created: u64,
    /// Place in its direction's stream, from 0.
    pub sequence: i64,
    pub flags: u64,
    pub id: MessageId,
    /// `None` makes the header the short one.
    pub payload_type: Option<PayloadType>,
}

/// A message as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub header: Header,
    /// What the sender says is the SHA-256 of the payload. Not every sender is right.
    pub digest: [u8; 32],
    pub payload: Bytes,
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("message of {0} bytes is too short")]
    TooShort(usize),
    #[error("header length {0} is unknown")]
    HeaderLength(u32),
    #[error("message type is empty or no text")]
    MessageType,
}

impl Frame {
    /// Whether the digest is that of the payload. Without a payload there is nothing to compare.
    pub fn is_intact(&self) -> bool {
        self.payload.is_empty() || digest(&SHA256, &self.payload).as_ref() == self.digest
    }

    /// Reads one message. The payload goes to the end of the bytes, as both of AWS's readers have it: its length field is not used.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let short = Malformed::TooShort(bytes.len());
        let length = bytes.first_chunk().copied().map(u32::from_be_bytes).ok_or(short)?;
        let header_length = match usize::try_from(length) {
            Ok(known @ (FULL | SHORT)) => known,
            _ => return Err(Malformed::HeaderLength(length)),
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
        Ok(Self { header, digest, payload: bytes.slice(header_length + 4..) })
    }
}

impl Header {
    /// Writes one message with this header. The type is padded with spaces; with NULs in the short form, as the service does.
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

/// Padding may be spaces or NULs, on either side.
fn message_type(field: &[u8]) -> Result<MessageType, Malformed> {
    let name = std::str::from_utf8(field).map_err(|_| Malformed::MessageType)?;
    match name.trim_matches([' ', '\0']) {
        "" => Err(Malformed::MessageType),
        name => Ok(MessageType::from(name)),
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    *bytes[offset..].first_chunk().expect("the length was compared with the header's")
}
