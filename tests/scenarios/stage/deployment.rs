//! A small deployment on the fakes.

use std::{sync::Arc, time::Duration};

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
        default_ttl: Policy::DEFAULT_TTL,
        max_ttl: Policy::MAX_TTL,
        default_network: Network::None,
        refused_networks: [(Network::Egress, "there is none".into())].into(),
        images: vec!["default".into()],
        webhook_allow_private: false,
        streaming: true,
        retention: Duration::from_hours(7 * 24),
        worker_hold: Duration::from_mins(15),
        hand_on_delay: Duration::ZERO,
        warm: Vec::new(),
        warm_max_age: Duration::from_hours(1),
        pricing: None,
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
