//! The cursors of lists. The store's cursor is wrapped with a checksum over the list's name, so that a
//! cursor of another list, or one that was never given out, is recognised and refused.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::rule::FieldError;

/// Bytes of the checksum. It detects mistakes, not forgery: whoever forges a cursor still reads only
/// their own list.
const CHECKSUM: usize = 6;

/// Wraps and unwraps the cursors of one list.
#[derive(Debug)]
pub(super) struct Cursor {
    list: String,
}

impl Cursor {
    /// `list` names the list with its filters.
    pub(super) const fn new(list: String) -> Self {
        Self { list }
    }

    /// The cursor as the caller sees it.
    pub(super) fn write(&self, stored: &str) -> String {
        let bytes = [&self.checksum(stored.as_bytes()), stored.as_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor as the store gave it.
    pub(super) fn read(&self, text: &str) -> Result<String, FieldError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let (sum, stored) = bytes.split_at_checked(CHECKSUM).unwrap_or_default();
        let stored = if *sum == self.checksum(stored) { str::from_utf8(stored).ok() } else { None };
        let wrong = || FieldError::new("must be the nextCursor of the same list");
        stored.map(str::to_owned).ok_or_else(wrong)
    }

    fn checksum(&self, stored: &[u8]) -> [u8; CHECKSUM] {
        let hash = Sha256::new_with_prefix(&self.list).chain_update("\n").chain_update(stored);
        let mut sum = [0; CHECKSUM];
        sum.copy_from_slice(&hash.finalize()[..CHECKSUM]);
        sum
    }
}
