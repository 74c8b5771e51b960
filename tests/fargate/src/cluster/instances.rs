//! Capacity providers of instances. An instance takes one task at a time; a task waits in PROVISIONING for one.

use std::collections::BTreeMap;

use super::{Cluster, State};
use crate::task::Status;

impl Cluster {
    /// Sets the number of instances of some capacity providers. Tasks keep the instances that they have.
    pub(crate) fn set_instances(&self, instances: BTreeMap<String, usize>) {
        self.state().instances.extend(instances);
        self.changes.send_replace(());
    }

    /// Waits until the task has an instance, if it needs one, or is to stop.
    pub(super) async fn await_instance(&self, id: &str) {
        let mut changes = self.changes.subscribe();
        while !self.state.lock().gives_instance(id) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    /// Gives the task an instance if one is free; false if it has to wait.
    fn gives_instance(&mut self, id: &str) -> bool {
        let Some(task) = self.tasks.get(id) else { return true };
        let provider = task.requested.capacity_provider.clone();
        let all = provider.as_ref().and_then(|provider| self.instances.get(provider));
        let taken = |all: &usize| {
            let others = self.tasks.values().filter(|task| {
                task.has_instance
                    && task.last != Status::Stopped
                    && task.requested.capacity_provider == provider
            });
            others.count() >= *all
        };
        if task.stop.is_none() && all.is_some_and(taken) {
            return false;
        }
        let is_given = all.is_some() && task.stop.is_none();
        if let Some(task) = self.tasks.get_mut(id) {
            task.has_instance = is_given;
        }
        true
    }
}
