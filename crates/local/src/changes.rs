//! Waits for jobs to change, without polling: the store notifies the listeners after each commit.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    JobId, Timestamp,
    ports::{BackendError, Changes, Clock, Version},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{database::Database, store::job_version};

/// The listeners of this process, by the job whose changes they wait for.
#[derive(Debug, Default)]
pub struct ChangeListeners {
    /// For each job with a listener, the latest version that was committed since the first of its
    /// listeners registered.
    versions: Mutex<HashMap<JobId, watch::Sender<Version>>>,
}

impl ChangeListeners {
    /// Notifies the listeners of these jobs, which have these versions now.
    pub(crate) fn notify(&self, changed: &[(JobId, Version)]) {
        if changed.is_empty() {
            return;
        }
        let versions = self.versions.lock();
        for (job, version) in changed {
            if let Some(sender) = versions.get(job) {
                sender.send_replace(*version);
            }
        }
    }

    fn register(self: &Arc<Self>, job: JobId) -> Listener {
        let version = self.versions.lock().entry(job).or_default().subscribe();
        Listener { listeners: Arc::clone(self), job, version }
    }
}

/// A registered listener. The last listener of a job removes the job's entry when it is dropped.
struct Listener {
    listeners: Arc<ChangeListeners>,
    job: JobId,
    version: watch::Receiver<Version>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut versions = self.listeners.versions.lock();
        if versions.get(&self.job).is_some_and(|sender| sender.receiver_count() <= 1) {
            versions.remove(&self.job);
        }
    }
}

/// Waits for changes that this process commits.
#[derive(Clone)]
pub struct LocalChanges {
    db: Database,
    listeners: Arc<ChangeListeners>,
    clock: Arc<dyn Clock>,
}

impl LocalChanges {
    /// Waits among the listeners that the store of this database notifies.
    pub fn new(db: Database, listeners: Arc<ChangeListeners>, clock: Arc<dyn Clock>) -> Self {
        Self { db, listeners, clock }
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
        // The listener is registered before the version is read, so a commit in between notifies it.
        let mut listener = self.listeners.register(job);
        let now = self.db.read("reading a job's version", |db| job_version(db, job))?;
        if now.unwrap_or_default() != seen {
            return Ok(());
        }
        let changed = listener.version.wait_for(|version| *version > seen);
        // Both a change and the timeout let the caller read the record.
        let _either = tokio::time::timeout(until.since(self.clock.now()), changed).await;
        Ok(())
    }
}

impl std::fmt::Debug for LocalChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalChanges").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
