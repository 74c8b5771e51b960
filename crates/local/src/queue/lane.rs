//! The messages of one lane, by the time they can be received.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{Timestamp, message::Message};

use super::{Counts, MAX_ATTEMPTS, log::LoggedMessage};

/// A message that was not acknowledged yet.
pub(super) struct Held {
    pub(super) message: Message,
    pub(super) logged: Arc<LoggedMessage>,
    pub(super) visible_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) in_flight: bool,
}

impl Held {
    pub(super) fn new(message: Message, logged: Arc<LoggedMessage>, visible_at: Timestamp) -> Self {
        let attempts = logged.attempts();
        Self { message, logged, visible_at, attempts, in_flight: false }
    }
}

/// All messages of a lane.
#[derive(Default)]
pub(super) struct Messages {
    by_time: BTreeMap<(Timestamp, u64), Held>,
    /// The time in the key of each message in `by_time`, by its id.
    times: HashMap<u64, Timestamp>,
    /// The bodies of messages that were sent without a delay and not received yet.
    pending: HashSet<Arc<str>>,
    /// How many dead letters the lane has.
    pub(super) dead: usize,
    /// The latest time at which messages were taken. If the clock goes back, this one is used instead,
    /// so that no message becomes invisible.
    latest: Option<Timestamp>,
}

/// A message that was received, the number of times, and its row.
pub(super) type ReceivedMessage = (Message, u32, Arc<LoggedMessage>);

impl Messages {
    pub(super) fn insert(&mut self, held: Held) {
        let id = held.logged.id();
        self.times.insert(id, held.visible_at);
        self.by_time.insert((held.visible_at, id), held);
    }

    /// Records that a message with this body is sent without a delay. False if an equal message was
    /// sent without a delay and not received yet.
    pub(super) fn insert_pending(&mut self, body: &Arc<str>) -> bool {
        self.pending.insert(Arc::clone(body))
    }

    /// Removes the message with this id, if it was received this often.
    pub(super) fn remove(&mut self, id: u64, attempts: u32) -> Option<Held> {
        let key = (*self.times.get(&id)?, id);
        if self.by_time.get(&key)?.attempts != attempts {
            return None;
        }
        self.times.remove(&id);
        self.by_time.remove(&key)
    }

    /// Receives up to `limit` messages that are visible. The second list are those that were received
    /// too often; they are removed.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        limit: usize,
        visibility: Duration,
    ) -> (Vec<ReceivedMessage>, Vec<Held>) {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        let (mut taken, mut exhausted) = (Vec::new(), Vec::new());
        while taken.len() < limit
            && let Some(first) = self.by_time.first_entry()
            && first.key().0 <= now
        {
            let mut held = first.remove();
            self.times.remove(&held.logged.id());
            self.pending.remove(held.logged.body());
            if held.attempts >= MAX_ATTEMPTS {
                exhausted.push(held);
                continue;
            }
            held.attempts += 1;
            held.in_flight = true;
            held.visible_at = now + visibility;
            taken.push(held);
        }
        let received =
            |held: &Held| (held.message.clone(), held.attempts, Arc::clone(&held.logged));
        let messages = taken.iter().map(received).collect();
        taken.into_iter().for_each(|held| self.insert(held));
        (messages, exhausted)
    }

    pub(super) fn next_visible(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let mut counts = Counts { dead: self.dead, ..Counts::default() };
        for held in self.by_time.values() {
            match held {
                Held { visible_at, .. } if *visible_at <= now => counts.ready += 1,
                Held { in_flight: true, .. } => counts.in_flight += 1,
                Held { .. } => counts.delayed += 1,
            }
        }
        counts
    }
}
