//! Long-polls whose waits end when the test ends them.

use std::{collections::VecDeque, fmt, sync::Arc, task::Poll};

use async_trait::async_trait;
use domain::{
    JobId, Timestamp, UserId,
    ports::{BackendError, Changes, Clock, Version},
    user_event::EventNumber,
};
use parking_lot::Mutex;

use crate::{Gate, MemoryStore, SimClock};

type Event = Box<dyn FnOnce() + Send>;

/// Reports the changes of a [`MemoryStore`]. A wait without a scheduled event moves the clock to its
/// end.
pub struct MemoryChanges {
    store: Arc<MemoryStore>,
    clock: SimClock,
    gate: Arc<Gate>,
    meanwhile: Mutex<VecDeque<Event>>,
}

impl MemoryChanges {
    /// Watches this store.
    pub fn new(store: Arc<MemoryStore>, clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { store, clock, gate, meanwhile: Mutex::default() }
    }

    /// Schedules an event that happens during the next wait; events run in order, one per wait.
    pub fn meanwhile(&self, event: impl FnOnce() + Send + 'static) {
        self.meanwhile.lock().push_back(Box::new(event));
    }

    /// Waits until there is a change, or until this time.
    async fn wait(
        &self,
        action: &'static str,
        until: Timestamp,
        changed: impl Fn() -> bool + Send + Sync,
    ) -> Result<(), BackendError> {
        self.gate.pass(action, || ()).await?;
        let is_over = || changed() || self.clock.now() >= until;
        if self.gate.interleaved() {
            std::future::poll_fn(|_| if is_over() { Poll::Ready(()) } else { Poll::Pending }).await;
            return Ok(());
        }
        if !is_over() {
            let event = self.meanwhile.lock().pop_front();
            match event {
                Some(event) => event(),
                None => self.clock.reach(until),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Changes for MemoryChanges {
    async fn job_changed(
        &self,
        job: JobId,
        seen: Version,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        let changed = || self.store.job_version(job) != Some(seen);
        self.wait("waiting for a job", until, changed).await
    }

    async fn event_added(
        &self,
        user: &UserId,
        seen: EventNumber,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        let added = || self.store.last_event_now(user) > seen;
        self.wait("waiting for an event", until, added).await
    }
}

impl fmt::Debug for MemoryChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChanges").finish_non_exhaustive()
    }
}
