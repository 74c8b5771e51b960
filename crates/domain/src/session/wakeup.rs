//! When a session is looked after next, and which execution waits for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Session;
use crate::{Secret, Timestamp};

/// How long after a change the record is rechecked, in case the notification was lost.
pub(super) const RECHECK_AFTER: Duration = Duration::from_secs(15);

/// The part of the record that drives a session which has a slot and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wakeup {
    /// When the sweep reconciles the session if nothing else does.
    pub(super) due_at: Timestamp,
    /// The execution to resume when its condition is met.
    pub(super) waiter: Option<Waiter>,
}

impl Wakeup {
    /// A wakeup soon after `now`, without a waiter.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { due_at: now + RECHECK_AFTER, waiter: None }
    }

    /// The same waiter, with the session due soon after the change at `now`. A session that is due before that is left
    /// so: the time is indexed, and to move it may be billed like a write.
    pub(super) fn changed(mut self, now: Timestamp) -> Self {
        let soon = now + RECHECK_AFTER;
        if self.due_at <= now || self.due_at > soon {
            self.due_at = soon;
        }
        self
    }
}

/// An execution that waits for its session. It stays on the record until another waiter replaces it:
/// to resume an execution twice is harmless, never to resume it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiter {
    /// The task token that resumes the execution.
    pub token: Secret<String>,
    /// The condition that the execution waits for.
    pub waits: Waits,
    /// When the execution's own timer fires.
    pub until: Timestamp,
}

/// The condition that an execution waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waits {
    /// The session is ready, or can't become ready any more.
    Running,
    /// There is a reason to stop the session.
    End,
    /// The task has stopped.
    Stopped,
}

impl Session {
    /// When the sweep must reconcile the session if nothing else does; none once it has ended.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting(s) => Some(s.due_at),
            Self::Queued(s) => Some(s.wakeup.due_at),
            Self::Provisioning(s) => Some(s.wakeup.due_at),
            Self::Starting(s) => Some(s.wakeup.due_at),
            Self::Ready(s) => Some(s.wakeup.due_at),
            Self::Stopping(s) => Some(s.wakeup.due_at),
            Self::Ended(_) => None,
        }
    }

    /// Moves `due_at`. No effect once the session has ended.
    pub fn recheck_at(mut self, due_at: Timestamp) -> Self {
        if let Self::Waiting(waiting) = &mut self {
            waiting.due_at = due_at;
        } else if let Some(wakeup) = self.wakeup_mut() {
            wakeup.due_at = due_at;
        }
        self
    }

    /// The execution that waits for the session, if there is one.
    pub const fn waiter(&self) -> Option<&Waiter> {
        match self {
            Self::Queued(s) => s.wakeup.waiter.as_ref(),
            Self::Provisioning(s) => s.wakeup.waiter.as_ref(),
            Self::Starting(s) => s.wakeup.waiter.as_ref(),
            Self::Ready(s) => s.wakeup.waiter.as_ref(),
            Self::Stopping(s) => s.wakeup.waiter.as_ref(),
            Self::Waiting(_) | Self::Ended(_) => None,
        }
    }

    /// Registers an execution that waits, in place of the one before it. `due_at` is when the sweep
    /// reconciles the session if no notification comes. No effect without a slot or after the end.
    pub fn register_waiter(mut self, waiter: Waiter, due_at: Timestamp) -> Self {
        if let Some(wakeup) = self.wakeup_mut() {
            *wakeup = Wakeup { due_at, waiter: Some(waiter) };
        }
        self
    }

    pub(super) const fn wakeup_mut(&mut self) -> Option<&mut Wakeup> {
        match self {
            Self::Queued(s) => Some(&mut s.wakeup),
            Self::Provisioning(s) => Some(&mut s.wakeup),
            Self::Starting(s) => Some(&mut s.wakeup),
            Self::Ready(s) => Some(&mut s.wakeup),
            Self::Stopping(s) => Some(&mut s.wakeup),
            Self::Waiting(_) | Self::Ended(_) => None,
        }
    }
}
