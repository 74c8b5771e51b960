//! The queue: messages in memory, with the database as their log.
//!
//! A message is handed over in this process at once; its row follows in the writer's next group. One
//! that is done with before that needs no row at all. After a restart all that was not acknowledged
//! is there again, and due: a message is a bell, so to ring too early does no harm.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
use tokio::sync::Notify;

use crate::database::Database;

mod lane;
mod log;

use self::{
    lane::{Held, Messages},
    log::Logged,
};

/// A message that was received this often without success is put aside.
pub const MAX_ATTEMPTS: u32 = 5;

/// A message in somebody's hands until it is acknowledged, refused or its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What was sent.
    pub message: Message,
    /// How often it was received, this time included.
    pub attempts: u32,
    /// What it is answered with.
    pub receipt: Receipt,
}

/// Names one receipt of one message. Worth nothing once the message was received again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    lane: Lane,
    id: u64,
    attempts: u32,
}

/// How many messages a lane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Could be received now.
    pub ready: usize,
    /// Will be later.
    pub delayed: usize,
    /// In somebody's hands.
    pub in_flight: usize,
    /// Put aside after too many attempts.
    pub dead: usize,
}

/// The queue in the embedded database. Clones share it.
#[derive(Clone)]
pub struct SqliteQueue {
    db: Database,
    clock: Arc<dyn Clock>,
    lanes: Arc<[LaneState; Lane::ALL.len()]>,
    next_id: Arc<AtomicU64>,
}

#[derive(Default)]
struct LaneState {
    messages: Mutex<Messages>,
    arrived: Notify,
}

impl SqliteQueue {
    /// Takes up all that was not acknowledged; it is due at once.
    pub fn open(db: Database, clock: Arc<dyn Clock>) -> Result<Self, BackendError> {
        let kept = db.read("reading the queue", log::load)?;
        let dead = db.read("counting dead letters", log::count_dead)?;
        let last = db.read("reading the queue", log::last_id)?;
        let next_id = Arc::new(AtomicU64::new(last + 1));
        let queue = Self { db, clock, lanes: Arc::default(), next_id };
        let now = queue.clock.now();
        for (message, logged) in kept {
            let lane = message.lane();
            queue.messages(lane).insert(Held::new(message, logged, now));
            queue.state(lane).arrived.notify_one();
        }
        for lane in Lane::ALL {
            let of_lane = dead.iter().find(|(name, _)| name == lane.name());
            queue.messages(lane).dead = of_lane.map_or(0, |(_, count)| *count);
        }
        Ok(queue)
    }

    /// Takes up to `limit` messages. Each comes again after `visibility` unless it is answered.
    pub fn receive(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
        visibility: Duration,
    ) -> Vec<Received> {
        let (taken, spent) = self.messages(lane).take(now, limit, visibility);
        for held in spent {
            self.bury(lane, &held, "it was not answered in time", now);
        }
        let mut received = Vec::with_capacity(taken.len());
        for (message, attempts, logged) in taken {
            logged.received(&self.db, attempts);
            let receipt = Receipt { lane, id: logged.id(), attempts };
            received.push(Received { message, attempts, receipt });
        }
        received
    }

    /// The message is done with. No effect if it was received again meanwhile.
    pub fn ack(&self, receipt: Receipt) {
        let held = self.messages(receipt.lane).remove(receipt.id, receipt.attempts);
        if let Some(held) = held {
            held.logged.done(&self.db);
        }
    }

    /// The message is to come again after `delay`; it is put aside if it came too often. `reason`
    /// is for people and must hold no secret. No effect if it was received again meanwhile.
    pub fn nack(&self, receipt: Receipt, now: Timestamp, delay: Duration, reason: &str) {
        let held = self.messages(receipt.lane).remove(receipt.id, receipt.attempts);
        let Some(mut held) = held else { return };
        if held.attempts >= MAX_ATTEMPTS {
            return self.bury(receipt.lane, &held, reason, now);
        }
        held.visible_at = now + delay;
        held.in_flight = false;
        self.messages(receipt.lane).insert(held);
        self.state(receipt.lane).arrived.notify_one();
    }

    /// Returns when a message may have come, or may come earlier than [`Self::next_visible`] said;
    /// at once if that was so since the last call. Wakes one of those who wait.
    pub async fn arrival(&self, lane: Lane) {
        self.state(lane).arrived.notified().await;
    }

    /// When the next message of this lane can be received.
    pub fn next_visible(&self, lane: Lane) -> Option<Timestamp> {
        self.messages(lane).next_visible()
    }

    /// How many messages the lane holds.
    pub fn counts(&self, lane: Lane, now: Timestamp) -> Counts {
        self.messages(lane).counts(now)
    }

    /// Sends the dead letters of a lane again. Says how many.
    pub async fn redrive(&self, lane: Lane) -> Result<usize, BackendError> {
        let revived = self.db.write(move |db| log::revive(db, lane), || ()).await?;
        let count = revived.len();
        let now = self.clock.now();
        for (message, logged) in revived {
            self.messages(lane).insert(Held::new(message, logged, now));
            self.state(lane).arrived.notify_one();
        }
        let mut messages = self.messages(lane);
        messages.dead = messages.dead.saturating_sub(count);
        Ok(count)
    }

    fn bury(&self, lane: Lane, held: &Held, reason: &str, now: Timestamp) {
        tracing::warn!(
            lane = lane.name(),
            attempts = held.attempts,
            "put a message of lane {} aside: {reason}",
            lane.name()
        );
        self.messages(lane).dead += 1;
        held.logged.dead(&self.db, lane, reason, now);
    }

    fn state(&self, lane: Lane) -> &LaneState {
        &self.lanes[match lane {
            Lane::Control => 0,
            Lane::Exec => 1,
            Lane::TaskEvents => 2,
            Lane::Webhooks => 3,
        }]
    }

    fn messages(&self, lane: Lane) -> MutexGuard<'_, Messages> {
        self.state(lane).messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    /// Returns before the message is on disk. One that equals a message which nobody has received
    /// yet is not sent twice: that one rings for both.
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        let lane = message.lane();
        let body = log::encode(message)?;
        let now = self.clock.now();
        let logged = {
            let mut messages = self.messages(lane);
            if delay.is_zero() && !messages.is_first(&body) {
                return Ok(());
            }
            let logged = Arc::new(Logged::new(self.next_id.fetch_add(1, Ordering::Relaxed), body));
            messages.insert(Held::new(message.clone(), Arc::clone(&logged), now + delay));
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
