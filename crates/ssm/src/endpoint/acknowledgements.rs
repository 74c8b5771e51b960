use std::time::Duration;

use bytes::Bytes;

/// How many acknowledgements may wait. A peer sends at least 2,048 messages without one.
const MAX_WAITING: usize = 32;

/// The acknowledgements that wait for another message or for their time.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    delay: Duration,
    waiting: Vec<Bytes>,
    /// The time of the oldest of them.
    since: Option<Duration>,
}

impl Acknowledgements {
    pub(super) fn within(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub(super) fn push(&mut self, acknowledgement: Bytes, now: Duration) {
        self.waiting.push(acknowledgement);
        self.since.get_or_insert(now);
    }

    /// Whether the next one must be sent at once.
    pub(super) fn is_full(&self) -> bool {
        self.delay.is_zero() || self.waiting.len() >= MAX_WAITING
    }

    /// The time at which to send them.
    pub(super) fn due(&self) -> Option<Duration> {
        self.since.map(|since| since + self.delay)
    }

    /// All that wait, to be sent now.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.since = None;
        std::mem::take(&mut self.waiting)
    }
}
