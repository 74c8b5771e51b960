use std::collections::BTreeMap;

use bytes::Bytes;

use crate::message::PayloadType;

/// How far ahead a message may be: as much as AWS's client keeps.
const AHEAD: i64 = 10_000;
/// How many bytes may wait for an earlier message.
const BYTES: usize = 16 << 20;

/// Puts what comes in back in order.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    expected: i64,
    waiting: BTreeMap<i64, (PayloadType, Bytes)>,
    bytes: usize,
}

impl Incoming {
    /// Says whether to acknowledge. A duplicate is acknowledged again, for the first time may have been lost; what there is no room
    /// for is not, so that it comes again.
    pub(super) fn insert(&mut self, sequence: i64, kind: PayloadType, payload: Bytes) -> bool {
        let ahead = sequence.saturating_sub(self.expected);
        if ahead < 0 || self.waiting.contains_key(&sequence) {
            return true;
        }
        if ahead > AHEAD || ahead > 0 && self.bytes + payload.len() > BYTES {
            return false;
        }
        self.bytes += payload.len();
        self.waiting.insert(sequence, (kind, payload));
        true
    }

    /// The next one in order.
    pub(super) fn pop(&mut self) -> Option<(PayloadType, Bytes)> {
        let (kind, payload) = self.waiting.remove(&self.expected)?;
        self.expected = self.expected.saturating_add(1);
        self.bytes -= payload.len();
        Some((kind, payload))
    }
}
