//! Waits for jobs to change and for events of users, without polling: the store notifies the listeners after
//! each commit.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use async_trait::async_trait;
use domain::{
    JobId, Timestamp, UserId,
    ports::{BackendError, Changes, Clock, Version},
    user_event::EventNumber,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    database::Database,
    store::{job_version, last_event},
};

/// The listeners of this process.
#[derive(Debug, Default)]
pub struct ChangeListeners {
    /// By the job whose changes they wait for: the latest version that was committed.
    jobs: Arc<Listeners<JobId, Version>>,
    /// By the user whose events they wait for.
    users: Arc<Listeners<UserId, ()>>,
    /// Changes with each event of any user.
    events: watch::Sender<()>,
}

impl ChangeListeners {
    /// Notifies the listeners of these jobs, which have these versions now.
    pub(crate) fn notify(&self, changed: &[(JobId, Version)]) {
        self.jobs.notify(changed);
    }

    /// Notifies the listeners of a user who has a new event.
    pub(crate) fn notify_user(&self, user: UserId) {
        self.users.notify(&[(user, ())]);
        self.events.send_replace(());
    }

    /// Changes with each event of any user.
    pub(crate) fn all_events(&self) -> watch::Receiver<()> {
        self.events.subscribe()
    }
}

/// Listeners for changes of values, by key.
#[derive(Debug)]
struct Listeners<K, V> {
    /// For each key with a listener, the latest value since the first of its listeners registered.
    values: Mutex<HashMap<K, watch::Sender<V>>>,
}

impl<K, V> Default for Listeners<K, V> {
    fn default() -> Self {
        Self { values: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone + Default> Listeners<K, V> {
    fn notify(&self, changed: &[(K, V)]) {
        if changed.is_empty() {
            return;
        }
        let values = self.values.lock();
        for (key, value) in changed {
            if let Some(sender) = values.get(key) {
                sender.send_replace(value.clone());
            }
        }
    }

    fn register(self: &Arc<Self>, key: K) -> Listener<K, V> {
        let value = self.values.lock().entry(key.clone()).or_default().subscribe();
        Listener { listeners: Arc::clone(self), key, value }
    }
}

/// A registered listener. The last listener of a key removes the key's entry when it is dropped.
struct Listener<K: Eq + Hash, V> {
    listeners: Arc<Listeners<K, V>>,
    key: K,
    value: watch::Receiver<V>,
}

impl<K: Eq + Hash, V> Drop for Listener<K, V> {
    fn drop(&mut self) {
        let mut values = self.listeners.values.lock();
        if values.get(&self.key).is_some_and(|sender| sender.receiver_count() <= 1) {
            values.remove(&self.key);
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
        let mut listener = self.listeners.jobs.register(job);
        let now = self.db.read("reading a job's version", |db| job_version(db, job))?;
        if now.unwrap_or_default() != seen {
            return Ok(());
        }
        let changed = listener.value.wait_for(|version| *version > seen);
        // Both a change and the timeout let the caller read the record.
        let _either = tokio::time::timeout(until.since(self.clock.now()), changed).await;
        Ok(())
    }

    async fn event_added(
        &self,
        user: &UserId,
        seen: EventNumber,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        let mut listener = self.listeners.users.register(user.clone());
        let last = self.db.read("reading the last event", |db| last_event(db, user))?;
        if last > seen {
            return Ok(());
        }
        let added = listener.value.changed();
        let _either = tokio::time::timeout(until.since(self.clock.now()), added).await;
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
