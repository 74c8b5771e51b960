//! The messages of one lane, by the time they can be received.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{Timestamp, message::Message};

use super::{Counts, MAX_ATTEMPTS, log::Logged};

/// A message that is not done with.
pub(super) struct Held {
    pub(super) message: Message,
    pub(super) logged: Arc<Logged>,
    pub(super) visible_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) in_flight: bool,
}

impl Held {
    pub(super) fn new(message: Message, logged: Arc<Logged>, visible_at: Timestamp) -> Self {
        let attempts = logged.attempts();
        Self { message, logged, visible_at, attempts, in_flight: false }
    }
}

/// All that a lane holds.
#[derive(Default)]
pub(super) struct Messages {
    by_time: BTreeMap<(Timestamp, u64), Held>,
    /// Where in `by_time` a message is.
    times: HashMap<u64, Timestamp>,
    /// What the messages say that were sent without delay and that nobody received yet.
    fresh: HashSet<Arc<str>>,
    /// Counts of dead letters.
    pub(super) dead: usize,
    /// The latest time that was seen. If the clock goes back, messages must not be lost for so long.
    latest: Option<Timestamp>,
}

/// A message that was handed out: what it says, how often it was, its log.
pub(super) type Taken = (Message, u32, Arc<Logged>);

impl Messages {
    pub(super) fn insert(&mut self, held: Held) {
        let id = held.logged.id();
        self.times.insert(id, held.visible_at);
        self.by_time.insert((held.visible_at, id), held);
    }

    /// Notes that a message with this body is sent without delay. False if there is one already
    /// that nobody has received yet.
    pub(super) fn is_first(&mut self, body: &Arc<str>) -> bool {
        self.fresh.insert(Arc::clone(body))
    }

    /// Takes out what this receipt names.
    pub(super) fn remove(&mut self, id: u64, attempts: u32) -> Option<Held> {
        let key = (*self.times.get(&id)?, id);
        if self.by_time.get(&key)?.attempts != attempts {
            return None;
        }
        self.times.remove(&id);
        self.by_time.remove(&key)
    }

    /// Hands out what is visible. The second list came too often; it is no longer here.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        limit: usize,
        visibility: Duration,
    ) -> (Vec<Taken>, Vec<Held>) {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        let (mut taken, mut spent) = (Vec::new(), Vec::new());
        while taken.len() < limit
            && let Some(first) = self.by_time.first_entry()
            && first.key().0 <= now
        {
            let mut held = first.remove();
            self.times.remove(&held.logged.id());
            self.fresh.remove(held.logged.body());
            if held.attempts >= MAX_ATTEMPTS {
                spent.push(held);
                continue;
            }
            held.attempts += 1;
            held.in_flight = true;
            held.visible_at = now + visibility;
            taken.push(held);
        }
        let handed = |held: &Held| (held.message.clone(), held.attempts, Arc::clone(&held.logged));
        let messages = taken.iter().map(handed).collect();
        taken.into_iter().for_each(|held| self.insert(held));
        (messages, spent)
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
