//! The queue: messages in memory, with the database as their log.
//!
//! A message can be received at once; its row follows in the writer's next batch, and a message that is
//! acknowledged before that needs no row. After a restart all messages that were not acknowledged can
//! be received at once, even delayed ones: a message only notifies, so it may come too early.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Timestamp,
    message::{Lane, Message},
    ports::{BackendError, Clock, Queue},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{database::Database, store};

mod lane;
mod local_lane;
mod log;
mod owner;

use self::{
    lane::{Held, Messages},
    log::LoggedMessage,
};
pub use self::{
    local_lane::LocalLane,
    owner::{Owner, Share},
};

/// A message that was received this often without an acknowledgement becomes a dead letter.
pub const MAX_ATTEMPTS: u32 = 5;

/// A received message. It is in flight until it is acknowledged or returned, or its visibility timeout
/// is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// How often the message was received, this time included.
    pub attempts: u32,
    /// The receipt to acknowledge or return the message with.
    pub receipt: Receipt,
}

/// Identifies one delivery of one message. It has no effect once the message was received again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    lane: LocalLane,
    id: u64,
    attempts: u32,
}

/// How many messages a lane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that can be received now.
    pub ready: usize,
    /// Messages that can be received later.
    pub delayed: usize,
    /// Messages that were received and not acknowledged yet.
    pub in_flight: usize,
    /// Dead letters.
    pub dead: usize,
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self {
            ready: self.ready + other.ready,
            delayed: self.delayed + other.delayed,
            in_flight: self.in_flight + other.in_flight,
            dead: self.dead + other.dead,
        }
    }
}

/// The queue in the embedded database. Clones share it.
#[derive(Clone)]
pub struct SqliteQueue {
    db: Database,
    clock: Arc<dyn Clock>,
    lanes: Arc<[LaneState; LocalLane::ALL.len()]>,
    next_id: Arc<AtomicU64>,
}

#[derive(Default)]
struct LaneState {
    messages: Mutex<Messages>,
    arrived: Notify,
}

impl SqliteQueue {
    /// Opens the queue. All messages that were not acknowledged can be received at once.
    pub fn open(db: Database, clock: Arc<dyn Clock>) -> Result<Self, BackendError> {
        let stored = db.read("reading the queue", log::load)?;
        let dead = db.read("counting dead letters", log::count_dead)?;
        let last = db.read("reading the queue", log::last_id)?;
        let next_id = Arc::new(AtomicU64::new(last + 1));
        let queue = Self { db, clock, lanes: Arc::default(), next_id };
        let now = queue.clock.now();
        for (message, logged) in stored {
            let lane = LocalLane::of(&message);
            let owner = queue.owner(&message);
            queue.messages(lane).insert(Held::new(message, owner, logged, now));
            queue.state(lane).arrived.notify_one();
        }
        for lane in Lane::ALL {
            let of_lane = dead.iter().find(|(name, _)| name == lane.name());
            queue.messages(lane.into()).dead = of_lane.map_or(0, |(_, count)| *count);
        }
        Ok(queue)
    }

    /// Sets how many messages of one owner are received before some are acknowledged or returned.
    pub fn set_share(&self, lane: impl Into<LocalLane>, share: Share) {
        self.messages(lane.into()).share = share;
    }

    /// Receives up to `limit` messages; users take turns. Each can be received again after `visibility`, the visibility
    /// timeout, unless it was acknowledged or returned by then.
    pub fn receive(
        &self,
        lane: impl Into<LocalLane>,
        now: Timestamp,
        limit: usize,
        visibility: Duration,
    ) -> Vec<Received> {
        let lane = lane.into();
        let (messages, exhausted) = self.messages(lane).take(now, limit, visibility);
        for held in exhausted {
            self.make_dead_letter(lane.lane(), &held, "it was not acknowledged in time", now);
        }
        let mut received = Vec::with_capacity(messages.len());
        for (message, attempts, logged) in messages {
            logged.received(&self.db, attempts);
            let receipt = Receipt { lane, id: logged.id(), attempts };
            received.push(Received { message, attempts, receipt });
        }
        received
    }

    /// Acknowledges a message: it is not received again. No effect if it was received again meanwhile.
    pub fn ack(&self, receipt: Receipt) {
        let held = self.messages(receipt.lane).remove(receipt.id, receipt.attempts);
        if let Some(held) = held {
            held.logged.done(&self.db);
            self.wake_if_ready(receipt.lane);
        }
    }

    /// Wakes a receiver for messages that waited until their owner has room.
    fn wake_if_ready(&self, lane: LocalLane) {
        if self.messages(lane).has_ready() {
            self.state(lane).arrived.notify_one();
        }
    }

    /// Whom the message works for. If that can't be read now, it works for no user in particular.
    fn owner(&self, message: &Message) -> Owner {
        let read = self.db.read("finding the owner of a message", |db| store::owner(db, message));
        read.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "failed to find whom a message works for");
            Owner::default()
        })
    }

    /// Returns a message: it can be received again after `delay`, or becomes a dead letter after
    /// [`MAX_ATTEMPTS`]. `reason` is for people and must hold no secret. No effect if the message was
    /// received again meanwhile.
    pub fn nack(&self, receipt: Receipt, now: Timestamp, delay: Duration, reason: &str) {
        let held = self.messages(receipt.lane).remove(receipt.id, receipt.attempts);
        let Some(mut held) = held else { return };
        if held.attempts >= MAX_ATTEMPTS {
            self.wake_if_ready(receipt.lane);
            return self.make_dead_letter(receipt.lane.lane(), &held, reason, now);
        }
        held.visible_at = now + delay;
        held.in_flight = false;
        self.messages(receipt.lane).insert(held);
        self.state(receipt.lane).arrived.notify_one();
    }

    /// Returns when [`Self::next_visible`] may have become earlier; at once if it may have since the last
    /// call. One of several waiting callers is woken.
    pub async fn arrival(&self, lane: impl Into<LocalLane>) {
        self.state(lane.into()).arrived.notified().await;
    }

    /// When the next message of this lane can be received, if there is one.
    pub fn next_visible(&self, lane: impl Into<LocalLane>) -> Option<Timestamp> {
        self.messages(lane.into()).next_visible()
    }

    /// How many messages the lane holds.
    pub fn counts(&self, lane: Lane, now: Timestamp) -> Counts {
        let parts = LocalLane::ALL.into_iter().filter(|part| part.lane() == lane);
        parts.map(|part| self.messages(part).counts(now)).fold(Counts::default(), Counts::plus)
    }

    /// Sends the dead letters of a lane again, and returns how many.
    pub async fn redrive(&self, lane: Lane) -> Result<usize, BackendError> {
        let redriven = self.db.write(move |db| log::redrive(db, lane), || ()).await?;
        let count = redriven.len();
        let now = self.clock.now();
        for (message, logged) in redriven {
            let (part, owner) = (LocalLane::of(&message), self.owner(&message));
            self.messages(part).insert(Held::new(message, owner, logged, now));
            self.state(part).arrived.notify_one();
        }
        let mut messages = self.messages(lane.into());
        messages.dead = messages.dead.saturating_sub(count);
        Ok(count)
    }

    fn make_dead_letter(&self, lane: Lane, held: &Held, reason: &str, now: Timestamp) {
        tracing::warn!(
            lane = lane.name(),
            attempts = held.attempts,
            received = ?held.message,
            "a message of lane {} became a dead letter: {reason}; the sweep takes its record up when it \
             is due",
            lane.name()
        );
        self.messages(lane.into()).dead += 1;
        held.logged.dead(&self.db, lane, reason, now);
    }

    fn state(&self, lane: LocalLane) -> &LaneState {
        &self.lanes[match lane {
            LocalLane::Main(Lane::Control) => 0,
            LocalLane::Main(Lane::Exec) => 1,
            LocalLane::Main(Lane::TaskEvents) => 2,
            LocalLane::Main(Lane::Webhooks) => 3,
            LocalLane::Interrupts => 4,
        }]
    }

    fn messages(&self, lane: LocalLane) -> MutexGuard<'_, Messages> {
        self.state(lane).messages.lock()
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    /// Returns before the message is on disk. A message that equals one which can be received but was
    /// not yet is dropped: the earlier one stands for both.
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        let lane = LocalLane::of(message);
        let body = log::encode(message)?;
        let (now, owner) = (self.clock.now(), self.owner(message));
        let logged = {
            let mut messages = self.messages(lane);
            if delay.is_zero() && !messages.insert_pending(&body) {
                return Ok(());
            }
            let logged =
                Arc::new(LoggedMessage::new(self.next_id.fetch_add(1, Ordering::Relaxed), body));
            messages.insert(Held::new(message.clone(), owner, Arc::clone(&logged), now + delay));
            logged
        };
        logged.sent(&self.db);
        self.state(lane).arrived.notify_one();
        Ok(())
    }
}

impl fmt::Debug for SqliteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteQueue").field("db", &self.db).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
