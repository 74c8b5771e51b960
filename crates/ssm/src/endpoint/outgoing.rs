#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::frame::MessageId;

/// How many messages may follow the oldest unacknowledged one. AWS's client keeps 10,000 that came early.
const MESSAGES: usize = 2048;
/// How many bytes may wait for acknowledgement.
const BYTES: usize = 4 << 20;

/// What was sent, until it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Sequence number of the first in the queue.
    first: i64,
    queue: VecDeque<Option<Sent>>,
    bytes: usize,
    resend_after: ResendAfter,
}

#[derive(Debug)]
struct Sent {
    id: MessageId,
    message: Bytes,
    first: Duration,
    last: Duration,
}

impl Outgoing {
    /// The next message's sequence number.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::try_from(self.queue.len()).expect("the queue is in memory")
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < MESSAGES && self.bytes < BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, id: MessageId, message: Bytes, now: Duration) {
        self.bytes += message.len();
        self.queue.push_back(Some(Sent { id, message, first: now, last: now }));
    }

    /// Forgets a message, found by its number; an id, if there is one, must be the message's. Says whether there was one.
    pub(super) fn acknowledge(
        &mut self,
        sequence: i64,
        id: Option<MessageId>,
        now: Duration,
    ) -> bool {
        let place = sequence.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.and_then(|place| self.queue.get_mut(place)) else {
            return false;
        };
        let Some(sent) = place.take_if(|sent| id.is_none_or(|id| id == sent.id)) else {
            return false;
        };
        self.bytes -= sent.message.len();
        self.resend_after.measured(now.saturating_sub(sent.first));
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
        true
    }

    /// When the head is due again. Only the head: whoever waits for it has the others, or gets them in its turn.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.head().map(|head| head.last + self.resend_after.value)
    }

    pub(super) fn oldest(&self) -> Option<Duration> {
        self.head().map(|head| head.first)
    }

    /// The head, once more.
    pub(super) fn resend(&mut self, now: Duration) -> Option<Bytes> {
        let head = self.queue.front_mut()?.as_mut()?;
        head.last = now;
        Some(head.message.clone())
    }

    /// All that is unacknowledged, in order.
    pub(super) fn resend_all(&mut self, now: Duration) -> impl Iterator<Item = Bytes> {
        self.queue.iter_mut().flatten().map(move |sent| {
            sent.last = now;
            sent.message.clone()
        })
    }

    /// The front of the queue is never a gap.
    fn head(&self) -> Option<&Sent> {
        self.queue.front()?.as_ref()
    }
}

/// How long to wait for an acknowledgement: TCP's estimate with the constants of AWS's client and agent.
#[derive(Debug)]
struct ResendAfter {
    round_trip: Duration,
    variation: Duration,
    value: Duration,
}

impl Default for ResendAfter {
    fn default() -> Self {
        Self {
            round_trip: Duration::from_millis(100),
            variation: Duration::ZERO,
            value: Duration::from_millis(200),
        }
    }
}

impl ResendAfter {
    const MIN_MARGIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(1);

    fn measured(&mut self, sample: Duration) {
        let off = self.round_trip.abs_diff(sample);
        self.variation = self.variation * 3 / 4 + off / 4;
        self.round_trip = self.round_trip * 7 / 8 + sample / 8;
        let margin = (self.variation * 4).max(Self::MIN_MARGIN);
        self.value = (self.round_trip + margin).min(Self::MAX);
    }
}
