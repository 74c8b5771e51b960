//! What is to be done next with a session: one pure function that all ask.

use std::time::Duration;

use super::{Placement, Ready, Reason, Session};
use crate::{Timestamp, webhook::EventType};

/// How long before its end the owner is warned; not at all if it lives less than twice that.
pub const WARN_BEFORE: Duration = Duration::from_mins(1);

/// The next thing to do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait until a slot of its owner's quota is free.
    AwaitSlot,
    /// Get it a task.
    Provision,
    /// Wait until its task answers.
    WaitRunning,
    /// Wait for a reason to stop, until then at the latest; then look again.
    WaitEnd { until: Timestamp },
    /// Tell its task to stop.
    StopTask,
    /// Wait until its task is gone.
    WaitStopped,
    /// Close its record.
    Finish,
    /// Nothing.
    Done,
}

impl Session {
    /// What to do next at this time.
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

    /// The reason to stop it that the time alone gives.
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

impl Ready {
    /// When it ends for having had nothing to do, as far as the record knows.
    pub fn idle_at(&self) -> Option<Timestamp> {
        self.common.spec.idle_timeout.map(|span| self.common.last_active_at + span)
    }

    /// When its owner is to be warned, if that is still to come.
    pub fn warn_at(&self) -> Option<Timestamp> {
        let common = &self.common;
        let wanted =
            common.spec.webhook.as_ref().is_some_and(|hook| hook.wants(EventType::SessionExpiring));
        let long = common.expires_at.since(self.ready_at) >= WARN_BEFORE * 2;
        let fresh = common.warned_of != Some(common.expires_at);
        (wanted && long && fresh).then(|| common.expires_at - WARN_BEFORE)
    }

    fn next_deadline(&self) -> Timestamp {
        let ends = [Some(self.common.expires_at), self.idle_at(), self.warn_at()];
        ends.into_iter().flatten().min().unwrap_or(self.common.expires_at)
    }
}
