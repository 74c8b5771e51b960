//! The state `ready`: the runner answered, and the session runs commands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Placement, Reason, Status, Stopping, TerminalEvent, Transition,
    common::{Change, Common},
    stopping::BeforeStop,
    wakeup::{RECHECK_AFTER, Wakeup},
};
use crate::{
    JobId, TaskId, Timestamp,
    task::StopCause,
    timeline::{EventKind, Stamp},
    webhook::EventType,
};

/// How long before its end the owner is warned; not at all if the session lives less than twice that.
pub const WARN_BEFORE: Duration = Duration::from_mins(1);

/// The runner answered; the session runs commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) task: TaskId,
    pub(super) ready_at: Timestamp,
}

impl Ready {
    /// The task that serves the session.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Moves the deadline. The execution's timer still fires at the old one and then finds the new one.
    pub fn extend(mut self, expires_at: Timestamp, stamp: Stamp) -> Transition<Self> {
        self.common.expires_at = expires_at;
        let cause = expires_at.to_string();
        self.changed(Change::within(EventKind::Extended, Status::Ready).because(cause), stamp)
    }

    /// Records that the owner is warned of the deadline.
    pub fn warn(mut self, stamp: Stamp) -> Transition<Self> {
        self.common.warned_of = Some(self.common.expires_at);
        self.changed(Change::within(EventKind::Expiring, Status::Ready), stamp)
    }

    /// Records what happened to the terminal of a job.
    pub fn terminal(mut self, event: TerminalEvent, job: JobId, stamp: Stamp) -> Transition<Self> {
        let kind = match event {
            TerminalEvent::Opened => EventKind::TerminalOpened,
            TerminalEvent::Attached => EventKind::TerminalAttached,
            TerminalEvent::Detached => EventKind::TerminalDetached,
            TerminalEvent::Closed => EventKind::TerminalClosed,
        };
        // Nothing becomes due by it, so the session is not to be checked again for it.
        let change = Change::within(kind, Status::Ready).because(job.to_string());
        let entry = self.common.enter(change, stamp);
        Transition::new(self, entry)
    }

    fn changed(mut self, change: Change, stamp: Stamp) -> Transition<Self> {
        self.wakeup = self.wakeup.changed(stamp.now);
        let entry = self.common.enter(change, stamp);
        Transition::new(self, entry)
    }

    /// Records that the session was busy until `at`; the idle timeout counts from there. An earlier
    /// `at` than the one on record has no effect.
    pub fn active(mut self, at: Timestamp, now: Timestamp) -> Self {
        self.common.last_active_at = self.common.last_active_at.max(at);
        self.wakeup.due_at = now + RECHECK_AFTER;
        self
    }

    /// Records that no job is open any more; the idle timeout counts from `now`.
    pub fn go_idle(mut self, now: Timestamp) -> Self {
        self.common.last_active_at = now;
        self.wakeup.due_at = now + RECHECK_AFTER;
        self
    }

    /// When the session ends for being idle, as far as the record knows; none without an idle timeout.
    pub fn idle_at(&self) -> Option<Timestamp> {
        self.common.spec.idle_timeout.map(|span| self.common.last_active_at + span)
    }

    /// When the owner is to be warned of the deadline; none if the owner does not want that webhook,
    /// was warned already, or has a session that is too short.
    pub fn warn_at(&self) -> Option<Timestamp> {
        let common = &self.common;
        let wanted =
            common.spec.webhook.as_ref().is_some_and(|hook| hook.wants(EventType::SessionExpiring));
        let long_enough = common.expires_at.since(self.ready_at) >= WARN_BEFORE * 2;
        let warned = common.warned_of == Some(common.expires_at);
        (wanted && long_enough && !warned).then(|| common.expires_at - WARN_BEFORE)
    }

    /// The earliest time at which the session needs attention: its end or the warning of it.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let times = [self.idle_at(), self.warn_at()].into_iter().flatten();
        times.fold(self.common.expires_at, Timestamp::min)
    }

    /// Ends the session.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        self.before_stop().stop(reason, note, stamp)
    }

    /// The task stopped by itself.
    pub fn task_stopped(self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Stopping> {
        self.before_stop().task_stopped(cause, stamp)
    }

    fn before_stop(self) -> BeforeStop {
        BeforeStop {
            common: self.common,
            wakeup: self.wakeup,
            from: Status::Ready,
            holds_slot: true,
            placement: Placement::Placed(self.task),
            ready_at: Some(self.ready_at),
        }
    }
}
