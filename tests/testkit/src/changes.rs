//! Long-polls whose waits end when the test ends them.

use std::{collections::VecDeque, fmt, sync::Arc, task::Poll};

use async_trait::async_trait;
use domain::{
    JobId, Timestamp,
    ports::{BackendError, Changes, Clock, Version},
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

    fn is_over(&self, job: JobId, seen: Version, until: Timestamp) -> bool {
        self.store.job_version(job) != Some(seen) || self.clock.now() >= until
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
        self.gate.pass("waiting for a job", || ()).await?;
        if self.gate.interleaved() {
            std::future::poll_fn(|_| {
                if self.is_over(job, seen, until) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            return Ok(());
        }
        if !self.is_over(job, seen, until) {
            let event = self.meanwhile.lock().pop_front();
            match event {
                Some(event) => event(),
                None => self.clock.reach(until),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChanges").finish_non_exhaustive()
    }
}
