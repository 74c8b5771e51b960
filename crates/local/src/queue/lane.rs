//! The messages of one lane. Users take turns: each receives one message after the other, however many
//! messages of other users wait.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{Timestamp, message::Message};

use super::{
    Counts, MAX_ATTEMPTS,
    log::LoggedMessage,
    owner::{InFlight, Owner, Share},
};

/// How many messages of a user are looked at to find one whose host has room.
const LOOK_AHEAD: usize = 32;

/// A message that was not acknowledged yet.
pub(super) struct Held {
    pub(super) message: Message,
    pub(super) owner: Owner,
    pub(super) logged: Arc<LoggedMessage>,
    pub(super) visible_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) in_flight: bool,
}

impl Held {
    pub(super) fn new(
        message: Message,
        owner: Owner,
        logged: Arc<LoggedMessage>,
        visible_at: Timestamp,
    ) -> Self {
        let attempts = logged.attempts();
        Self { message, owner, logged, visible_at, attempts, in_flight: false }
    }

    fn key(&self) -> Key {
        (self.visible_at, self.logged.id())
    }
}

/// Orders messages: the time at which they become visible, and their id.
type Key = (Timestamp, u64);

/// All messages of a lane.
pub(super) struct Messages {
    /// Messages in flight and such that become visible later, or did so since the last call of `take`.
    by_time: BTreeMap<Key, Held>,
    /// Messages that can be received, by user.
    ready: HashMap<Arc<str>, BTreeMap<Key, Held>>,
    /// The users with messages that can be received, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    in_flight: InFlight,
    /// The key and the user of each message, by its id.
    places: HashMap<u64, (Timestamp, Arc<str>)>,
    /// The bodies of messages that were sent without a delay and not received yet.
    pending: HashSet<Arc<str>>,
    /// What one owner may have in flight.
    pub(super) share: Share,
    /// How many dead letters the lane has.
    pub(super) dead: usize,
    /// The latest time at which messages were taken. If the clock goes back, this one is used instead,
    /// so that no message becomes invisible.
    latest: Option<Timestamp>,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            by_time: BTreeMap::new(),
            ready: HashMap::new(),
            turns: VecDeque::new(),
            in_flight: InFlight::default(),
            places: HashMap::new(),
            pending: HashSet::new(),
            share: Share::ALL,
            dead: 0,
            latest: None,
        }
    }
}

/// A message that was received, the number of times, and its row.
pub(super) type ReceivedMessage = (Message, u32, Arc<LoggedMessage>);

impl Messages {
    pub(super) fn insert(&mut self, held: Held) {
        let place = (held.visible_at, Arc::clone(&held.owner.user));
        self.places.insert(held.logged.id(), place);
        if held.in_flight {
            self.in_flight.add(&held.owner);
        }
        self.by_time.insert(held.key(), held);
    }

    /// Records that a message with this body is sent without a delay. False if an equal message was
    /// sent without a delay and not received yet.
    pub(super) fn insert_pending(&mut self, body: &Arc<str>) -> bool {
        self.pending.insert(Arc::clone(body))
    }

    /// Removes the message with this id, if it was received this often.
    pub(super) fn remove(&mut self, id: u64, attempts: u32) -> Option<Held> {
        let (at, user) = self.places.get(&id)?.clone();
        let key = (at, id);
        let is_current = |held: &Held| held.attempts == attempts;
        let held = if self.by_time.get(&key).is_some_and(is_current) {
            self.by_time.remove(&key)?
        } else {
            let of_user = self.ready.get_mut(&user)?;
            if !of_user.get(&key).is_some_and(is_current) {
                return None;
            }
            let held = of_user.remove(&key)?;
            self.end_turns_without_messages(&user);
            held
        };
        self.places.remove(&id);
        if held.in_flight {
            self.in_flight.remove(&held.owner);
        }
        Some(held)
    }

    /// Receives up to `limit` messages that are visible, as far as their owners have room. The second
    /// list are those that were received too often; they are removed.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        limit: usize,
        visibility: Duration,
    ) -> (Vec<ReceivedMessage>, Vec<Held>) {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        self.make_ready(now);
        let (mut taken, mut exhausted) = (Vec::new(), Vec::new());
        while taken.len() < limit
            && let Some((turn, key)) = self.next()
            && let Some(mut held) = self.take_ready(turn, key)
        {
            self.places.remove(&held.logged.id());
            self.pending.remove(held.logged.body());
            if held.attempts >= MAX_ATTEMPTS {
                exhausted.push(held);
                continue;
            }
            held.attempts += 1;
            held.in_flight = true;
            held.visible_at = now + visibility;
            taken.push((held.message.clone(), held.attempts, Arc::clone(&held.logged)));
            self.insert(held);
        }
        (taken, exhausted)
    }

    /// When the next message can be received, if there is one whose owner has room.
    pub(super) fn next_visible(&self) -> Option<Timestamp> {
        let ready = self.next().map(|(_, (at, _))| at);
        let later = self.by_time.first_key_value().map(|((at, _), _)| *at);
        ready.into_iter().chain(later).min()
    }

    /// Whether messages wait until their owners have room.
    pub(super) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let ready = self.ready.values().map(BTreeMap::len).sum();
        let mut counts = Counts { dead: self.dead, ready, ..Counts::default() };
        for held in self.by_time.values() {
            match held {
                Held { visible_at, .. } if *visible_at <= now => counts.ready += 1,
                Held { in_flight: true, .. } => counts.in_flight += 1,
                Held { .. } => counts.delayed += 1,
            }
        }
        counts
    }

    /// Moves the messages that are visible by now to their users.
    fn make_ready(&mut self, now: Timestamp) {
        while let Some(first) = self.by_time.first_entry()
            && first.key().0 <= now
        {
            let (key, mut held) = first.remove_entry();
            if std::mem::take(&mut held.in_flight) {
                self.in_flight.remove(&held.owner);
            }
            let user = Arc::clone(&held.owner.user);
            let of_user = self.ready.entry(Arc::clone(&user)).or_default();
            if of_user.is_empty() {
                self.turns.push_back(user);
            }
            of_user.insert(key, held);
        }
    }

    /// The next message to receive: the position of its user's turn, and its key.
    fn next(&self) -> Option<(usize, Key)> {
        self.turns.iter().enumerate().find_map(|(turn, user)| {
            if !self.in_flight.has_room_for_user(user, self.share) {
                return None;
            }
            let mut messages = self.ready.get(user)?.iter().take(LOOK_AHEAD);
            let (key, _) = messages
                .find(|(_, held)| self.in_flight.has_room_for_host(&held.owner, self.share))?;
            Some((turn, *key))
        })
    }

    /// Removes the message with this key from the user with this turn, whose next turn is after those
    /// of all others.
    fn take_ready(&mut self, turn: usize, key: Key) -> Option<Held> {
        let user = self.turns.remove(turn)?;
        self.turns.push_back(Arc::clone(&user));
        let held = self.ready.get_mut(&user)?.remove(&key);
        self.end_turns_without_messages(&user);
        held
    }

    fn end_turns_without_messages(&mut self, user: &Arc<str>) {
        if self.ready.get(user).is_some_and(BTreeMap::is_empty) {
            self.ready.remove(user);
            self.turns.retain(|other| other != user);
        }
    }
}
