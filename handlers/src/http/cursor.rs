//! The marks that lists are read on by. What the store gives is wrapped, so that a mark of another
//! list, or no mark at all, is told from one that we gave.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Bytes of the checksum. It finds mistakes; a forger only gets at the forger's own list.
const SUM: usize = 6;

/// Wraps and unwraps the marks of one list.
#[derive(Debug)]
pub(super) struct Cursor {
    list: String,
}

impl Cursor {
    /// `list` names the list with its filters.
    pub(super) const fn new(list: String) -> Self {
        Self { list }
    }

    /// The mark as the caller sees it.
    pub(super) fn write(&self, mark: &str) -> String {
        let bytes = [&self.sum(mark.as_bytes()), mark.as_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The mark as the store gave it.
    pub(super) fn read(&self, text: &str) -> Result<String, Cow<'static, str>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let (sum, mark) = bytes.split_at_checked(SUM).unwrap_or_default();
        let mark = if *sum == self.sum(mark) { str::from_utf8(mark).ok() } else { None };
        mark.map(str::to_owned).ok_or_else(|| "must be the nextCursor of the same list".into())
    }

    fn sum(&self, mark: &[u8]) -> [u8; SUM] {
        let hash = Sha256::new_with_prefix(&self.list).chain_update("\n").chain_update(mark);
        let mut sum = [0; SUM];
        sum.copy_from_slice(&hash.finalize()[..SUM]);
        sum
    }
}
