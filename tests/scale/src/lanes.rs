//! The lanes of messages: standard queues, and the batches in which functions take from them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    message::{Lane, Message},
    ports::{BackendError, Queue},
};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use crate::deployment::{CALL, Deployment};

/// From sending a message to its receipt.
const PASSAGE: Duration = Duration::from_millis(20);
/// Messages of one batch.
const BATCH: usize = 10;
/// Batches at once: at the beginning, more in each second of backlog, and at most.
const AT_FIRST: usize = 5;
const MORE_PER_SECOND: usize = 5;
const AT_MOST: usize = 50;
/// After this many receives, a message is left to the sweep.
const MAX_RECEIVES: u32 = 5;

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    deployment: OnceLock<Weak<Deployment>>,
    lanes: Mutex<BTreeMap<&'static str, Backlog>>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<(Message, u32)>,
    batches: usize,
    counts: LaneUse,
}

/// What became of a lane in a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LaneUse {
    pub(crate) sent: u64,
    pub(crate) batches: u64,
    pub(crate) failed: u64,
    /// Messages that have failed too often.
    pub(crate) dead: u64,
    pub(crate) longest: usize,
}

impl Lanes {
    /// Begins to serve all lanes.
    pub(crate) fn attach(self: &Arc<Self>, deployment: &Arc<Deployment>) {
        let _ = self.deployment.set(Arc::downgrade(deployment));
        for lane in Lane::ALL {
            self.lanes.lock().insert(lane.name(), Backlog::default());
            tokio::spawn(Arc::clone(self).serve(lane));
        }
    }

    /// Sends a message that events of tasks cause.
    pub(crate) fn deliver(self: &Arc<Self>, message: Message, delay: Duration) {
        self.put(message, 1, delay);
    }

    /// What became of each lane.
    pub(crate) fn used(&self) -> BTreeMap<&'static str, LaneUse> {
        self.lanes.lock().iter().map(|(name, lane)| (*name, lane.counts)).collect()
    }

    fn put(self: &Arc<Self>, message: Message, receives: u32, delay: Duration) {
        let lanes = Arc::clone(self);
        tokio::spawn(async move {
            sleep(delay + PASSAGE).await;
            let mut all = lanes.lanes.lock();
            let lane = all.entry(message.lane().name()).or_default();
            lane.counts.sent += u64::from(receives == 1);
            lane.waiting.push_back((message, receives));
            lane.counts.longest = lane.counts.longest.max(lane.waiting.len());
            drop(all);
            lanes.arrived.notify_waiters();
        });
    }

    /// Takes batches as long as there are messages.
    async fn serve(self: Arc<Self>, lane: Lane) {
        let mut limit = AT_FIRST;
        loop {
            let arrived = self.arrived.notified();
            while let Some(batch) = self.take(lane, limit) {
                tokio::spawn(Arc::clone(&self).handle(lane, batch));
            }
            let has_backlog = self.lanes.lock()[lane.name()].waiting.len() > BATCH;
            tokio::select! {
                () = arrived => {}
                () = sleep(Duration::from_secs(1)), if has_backlog => {
                    limit = (limit + MORE_PER_SECOND).min(AT_MOST);
                }
            }
        }
    }

    fn take(&self, lane: Lane, limit: usize) -> Option<Vec<(Message, u32)>> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.get_mut(lane.name())?;
        if lane.waiting.is_empty() || lane.batches >= limit {
            return None;
        }
        lane.batches += 1;
        lane.counts.batches += 1;
        let count = lane.waiting.len().min(BATCH);
        Some(lane.waiting.drain(..count).collect())
    }

    async fn handle(self: Arc<Self>, lane: Lane, batch: Vec<(Message, u32)>) {
        let Some(deployment) = self.deployment.get().and_then(Weak::upgrade) else { return };
        let messages: Vec<Message> = batch.iter().map(|(message, _)| message.clone()).collect();
        let handled = deployment
            .run(lane.name(), async |env| {
                let all = messages.into_iter().map(|message| handlers::handle(&env, message));
                join_all(all).await
            })
            .await;
        for (at, (message, receives)) in batch.into_iter().enumerate() {
            match &handled {
                // The source tries again, and counts no receive.
                Err(_throttled) => self.put(message, receives, Duration::from_secs(1)),
                Ok(results) if results[at].is_err() => self.failed(message, receives),
                Ok(_) => {}
            }
        }
        if let Some(lane) = self.lanes.lock().get_mut(lane.name()) {
            lane.batches -= 1;
        }
        self.arrived.notify_waiters();
    }

    fn failed(self: &Arc<Self>, message: Message, receives: u32) {
        let mut lanes = self.lanes.lock();
        let counts = &mut lanes.entry(message.lane().name()).or_default().counts;
        counts.failed += 1;
        if receives >= MAX_RECEIVES {
            counts.dead += 1;
            return;
        }
        drop(lanes);
        // As `crates/aws` has failed messages delivered again.
        self.put(message, receives + 1, Duration::from_secs(2) * 4_u32.pow(receives - 1));
    }
}

#[async_trait]
impl Queue for Lanes {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        sleep(CALL).await;
        let deployment = self.deployment.get().and_then(Weak::upgrade);
        if let Some(deployment) = deployment {
            deployment.lanes.put(message.clone(), 1, delay);
        }
        Ok(())
    }
}
