//! Wakes those who wait for a job to change. No polling: the writer rings after each commit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use domain::{
    JobId, Timestamp,
    ports::{BackendError, Changes, Clock, Version},
};
use tokio::sync::watch;

use crate::{database::Database, store::job_version};

/// The bells of the jobs that somebody waits for.
#[derive(Debug, Default)]
pub struct Bells {
    /// The latest version that was committed since somebody began to wait.
    hung: Mutex<HashMap<JobId, watch::Sender<Version>>>,
}

impl Bells {
    /// These jobs have these versions now.
    pub(crate) fn ring(&self, changed: &[(JobId, Version)]) {
        if changed.is_empty() {
            return;
        }
        let hung = self.hung();
        for (job, version) in changed {
            if let Some(bell) = hung.get(job) {
                bell.send_replace(*version);
            }
        }
    }

    fn wait(self: &Arc<Self>, job: JobId) -> Waiting {
        let rung = self.hung().entry(job).or_default().subscribe();
        Waiting { bells: Arc::clone(self), job, rung }
    }

    fn hung(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Version>>> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits; the last one of a job takes its bell down.
struct Waiting {
    bells: Arc<Bells>,
    job: JobId,
    rung: watch::Receiver<Version>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut hung = self.bells.hung();
        if hung.get(&self.job).is_some_and(|bell| bell.receiver_count() <= 1) {
            hung.remove(&self.job);
        }
    }
}

/// Waits for jobs to change in this process.
#[derive(Clone)]
pub struct LocalChanges {
    db: Database,
    bells: Arc<Bells>,
    clock: Arc<dyn Clock>,
}

impl LocalChanges {
    /// Waits on the bells that the store of this database rings.
    pub fn new(db: Database, bells: Arc<Bells>, clock: Arc<dyn Clock>) -> Self {
        Self { db, bells, clock }
    }
}

#[async_trait]
impl Changes for LocalChanges {
    async fn job_changed(
        &self,
        job: JobId,
        seen: Version,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        // First hang up the bell, then look: a commit in between rings it.
        let mut waiting = self.bells.wait(job);
        let now = self.db.read("reading a job's version", |db| job_version(db, job))?;
        if now.unwrap_or_default() != seen {
            return Ok(());
        }
        let rung = waiting.rung.wait_for(|version| *version > seen);
        // Whether it was rung or the time is over: the caller looks at the record.
        let _either = tokio::time::timeout(until.since(self.clock.now()), rung).await;
        Ok(())
    }
}

impl std::fmt::Debug for LocalChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalChanges").field("bells", &self.bells).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
