//! What a session needs next: one pure function of its record and the time.

use super::{Placement, Reason, Session};
use crate::Timestamp;

/// What a session needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A slot of its owner's quota.
    AwaitSlot,
    /// A task.
    Provision,
    /// To wait until the runner in its task answers.
    WaitRunning,
    /// To wait for a reason to stop, until `until` at the latest; then ask for the next step again.
    WaitEnd { until: Timestamp },
    /// A stop request to its task's provider.
    StopTask,
    /// To wait until its task has stopped.
    WaitStopped,
    /// The end of its record.
    Finish,
    /// Nothing: the session has ended.
    Done,
}

impl Session {
    /// What the session needs next at this time.
    pub fn next_step(&self, now: Timestamp) -> Step {
        if self.overdue(now).is_some() {
            return match self {
                Self::Queued(_) => Step::Finish,
                Self::Waiting(_)
                | Self::Provisioning(_)
                | Self::Starting(_)
                | Self::Ready(_)
                | Self::Stopping(_)
                | Self::Ended(_) => Step::StopTask,
            };
        }
        match self {
            Self::Waiting(_) => Step::AwaitSlot,
            Self::Queued(_) | Self::Provisioning(_) => Step::Provision,
            Self::Starting(_) => Step::WaitRunning,
            Self::Ready(s) => Step::WaitEnd { until: s.next_deadline() },
            Self::Stopping(s) => match (&s.placement, s.stop_sent_at) {
                (Placement::None | Placement::Gone(..), _) => Step::Finish,
                (Placement::Placed(_), Some(_)) => Step::WaitStopped,
                (Placement::Placed(_), None) | (Placement::Asked, _) => Step::StopTask,
            },
            Self::Ended(_) => Step::Done,
        }
    }

    /// The reason to stop the session that the time alone gives: a deadline that has passed.
    pub fn overdue(&self, now: Timestamp) -> Option<Reason> {
        match self {
            Self::Queued(s) => (now >= s.ready_by).then_some(Reason::ProvisionTimeout),
            Self::Provisioning(s) => (now >= s.ready_by).then_some(Reason::ProvisionTimeout),
            Self::Starting(s) => (now >= s.ready_by).then_some(Reason::ProvisionTimeout),
            Self::Ready(s) if now >= s.common.expires_at => Some(Reason::TtlExpired),
            Self::Ready(s) if s.idle_at().is_some_and(|at| now >= at) => Some(Reason::IdleTimeout),
            Self::Waiting(_) | Self::Ready(_) | Self::Stopping(_) | Self::Ended(_) => None,
        }
    }
}
