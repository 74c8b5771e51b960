//! Names made from SHA-256 digests.

use sha2::{Digest, Sha256};

/// The first `length` hex digits of the content's SHA-256.
pub(crate) fn hex(content: &[u8], length: usize) -> String {
    let mut text = encode(&Sha256::digest(content));
    text.truncate(length);
    text
}

/// The bytes as hex digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
