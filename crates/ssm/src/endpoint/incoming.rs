use std::collections::BTreeMap;

use bytes::Bytes;

use crate::message::PayloadType;

/// The maximum distance of a message from the expected one, equal to the buffer of AWS's client.
const MAX_AHEAD: i64 = 10_000;
/// The maximum number of buffered bytes of out-of-order messages.
const MAX_BYTES: usize = 4 << 20;

/// Restores the order of received messages and removes duplicates.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    expected: i64,
    waiting: BTreeMap<i64, (PayloadType, Bytes)>,
    bytes: usize,
}

impl Incoming {
    /// Buffers a message and returns whether to acknowledge it. A duplicate is acknowledged again, because the earlier acknowledgement
    /// may have been lost. A message that exceeds the buffer is not, so that the peer resends it.
    pub(super) fn insert(&mut self, sequence: i64, kind: PayloadType, payload: Bytes) -> bool {
        let ahead = sequence.saturating_sub(self.expected);
        if ahead < 0 || self.waiting.contains_key(&sequence) {
            return true;
        }
        if ahead > MAX_AHEAD || ahead > 0 && self.bytes + payload.len() > MAX_BYTES {
            return false;
        }
        self.bytes += payload.len();
        self.waiting.insert(sequence, (kind, payload));
        true
    }

    /// The next message in order.
    pub(super) fn pop(&mut self) -> Option<(PayloadType, Bytes)> {
        let (kind, payload) = self.waiting.remove(&self.expected)?;
        self.expected = self.expected.saturating_add(1);
        self.bytes -= payload.len();
        Some((kind, payload))
    }
}
