//! A small deployment on the fakes.

use std::sync::Arc;

use domain::{UserId, size::Network};
use handlers::{Env, Policy};
use testkit::Fakes;

use super::QUOTA;

pub(crate) fn user() -> UserId {
    UserId::new("ann")
}

pub(super) fn policy() -> Policy {
    Policy {
        max_active_sessions: QUOTA,
        refused_networks: [(Network::Egress, "there is none".into())].into(),
        ..Policy::default()
    }
}

pub(super) fn env(fakes: &Fakes, policy: Policy) -> Env {
    Env {
        store: fakes.store.clone(),
        queue: fakes.queue.clone(),
        workflow: fakes.workflow.clone(),
        compute: fakes.compute.clone(),
        shell: fakes.shell.clone(),
        webhooks: fakes.webhooks.clone(),
        changes: fakes.changes.clone(),
        clock: fakes.clock.clone(),
        ids: fakes.ids.clone(),
        policy: Arc::new(policy),
        worker: "w".into(),
    }
}
