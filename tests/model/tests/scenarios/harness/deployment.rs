//! A small deployment on the fakes.

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
    testkit::env_of!(Env, fakes, policy)
}
