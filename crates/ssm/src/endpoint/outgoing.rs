#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::frame::MessageId;

/// The send window in messages. AWS's client buffers up to 10,000 out-of-order messages.
const MAX_MESSAGES: usize = 2048;
/// The send window in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The time before which nothing is sent again. AWS's client looks every 100 ms for messages to send again.
const MIN_RESEND_AFTER: Duration = Duration::from_millis(100);

/// The sent messages that are not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The sequence number of the first message in the queue.
    first: i64,
    queue: VecDeque<Option<Sent>>,
    bytes: usize,
    resend_after: ResendAfter,
}

#[derive(Debug)]
struct Sent {
    id: MessageId,
    message: Bytes,
    first_sent: Duration,
    last_sent: Duration,
}

impl Outgoing {
    /// The sequence number of the next message.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::try_from(self.queue.len()).expect("the queue is in memory")
    }

    pub(super) fn has_capacity(&self) -> bool {
        self.queue.len() < MAX_MESSAGES && self.bytes < MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, id: MessageId, message: Bytes, now: Duration) {
        self.bytes += message.len();
        self.queue.push_back(Some(Sent { id, message, first_sent: now, last_sent: now }));
    }

    /// Removes the message with this sequence number and, if given, this id. Returns whether a message was removed.
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
        self.resend_after.measured(now.saturating_sub(sent.first_sent));
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
        true
    }

    /// The time at which to resend the oldest message. Later messages are not resent: the peer has buffered them, or they become the
    /// oldest in turn.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.head().map(|head| head.last_sent + self.resend_after.value.max(MIN_RESEND_AFTER))
    }

    pub(super) fn oldest(&self) -> Option<Duration> {
        self.head().map(|head| head.first_sent)
    }

    /// Returns the oldest message for a resend.
    pub(super) fn resend(&mut self, now: Duration) -> Option<Bytes> {
        let head = self.queue.front_mut()?.as_mut()?;
        head.last_sent = now;
        Some(head.message.clone())
    }

    /// All unacknowledged messages, in order, for a new connection. Their time begins again: the old connection may have lost them.
    pub(super) fn resend_all(&mut self, now: Duration) -> impl Iterator<Item = Bytes> {
        self.queue.iter_mut().flatten().map(move |sent| {
            (sent.first_sent, sent.last_sent) = (now, now);
            sent.message.clone()
        })
    }

    /// The oldest unacknowledged message. The front of the queue is never an acknowledged message.
    fn head(&self) -> Option<&Sent> {
        self.queue.front()?.as_ref()
    }
}

/// The retransmission timeout: TCP's estimator (RFC 6298) with the constants of AWS's client and agent.
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
