//! A session: one record of facts, and the states they put it in.
//!
//! Each state is a struct that holds what that state knows. A transition consumes the state and gives
//! a [`Transition`]: the next session and the timeline entries that must be written with it. Final states
//! have no transitions. What to do next is [`Session::next_step`], a pure function of the record.

use serde::{Deserialize, Serialize};

use crate::{JobId, SessionId, Timestamp, UserId, timeline::Entry, webhook::Endpoint};

mod common;
mod fact;
mod on;
mod spec;
mod state;
mod step;
mod usage;

pub use common::Common;
pub use fact::{Drain, Reason, Stop, TaskStopped, Waiter, Waits};
pub use on::{Event, TransitionError};
pub use spec::{Admission, Spec};
pub use state::{Ended, Placement, Provisioning, Queued, Ready, Starting, Stopping, Waiting};
pub use step::{Step, WARN_BEFORE};

/// A session in one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Session {
    /// Accepted above the quota; waits for a slot.
    Waiting(Waiting),
    /// Holds a slot; no task was asked for yet.
    Queued(Queued),
    /// A task is being asked for.
    Provisioning(Provisioning),
    /// A task was placed and has not answered yet.
    Starting(Starting),
    /// Runs commands.
    Ready(Ready),
    /// On its way to the end.
    Stopping(Stopping),
    /// Over. Nothing changes any more.
    Ended(Ended),
}

/// A session's status as the API says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionStatus"))]
pub enum Status {
    Queued,
    Provisioning,
    Starting,
    Ready,
    Stopping,
    Stopped,
    Failed,
}

impl Status {
    /// All, in the order of a session's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Provisioning,
        Self::Starting,
        Self::Ready,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
    ];

    /// The word that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Provisioning => "provisioning",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What a transition gives: write all of it in one transaction, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a transition counts only once it is written"]
pub struct Transition<S = Session> {
    /// The session after it.
    pub session: S,
    /// What to add to the timeline.
    pub entries: Vec<Entry>,
}

impl<S> Transition<S> {
    /// Follows with another transition; both are written together.
    pub fn then<T>(mut self, next: impl FnOnce(S) -> Transition<T>) -> Transition<T> {
        let Transition { session, entries } = next(self.session);
        self.entries.extend(entries);
        Transition { session, entries: self.entries }
    }
}

impl<S: Into<Session>> Transition<S> {
    /// Forgets which state it is.
    pub fn any(self) -> Transition {
        Transition { session: self.session.into(), entries: self.entries }
    }
}

impl Session {
    /// What every state knows.
    pub const fn common(&self) -> &Common {
        match self {
            Self::Waiting(s) => &s.common,
            Self::Queued(s) => &s.common,
            Self::Provisioning(s) => &s.common,
            Self::Starting(s) => &s.common,
            Self::Ready(s) => &s.common,
            Self::Stopping(s) => &s.common,
            Self::Ended(s) => &s.common,
        }
    }

    const fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Waiting(s) => &mut s.common,
            Self::Queued(s) => &mut s.common,
            Self::Provisioning(s) => &mut s.common,
            Self::Starting(s) => &mut s.common,
            Self::Ready(s) => &mut s.common,
            Self::Stopping(s) => &mut s.common,
            Self::Ended(s) => &mut s.common,
        }
    }

    /// Its id.
    pub const fn id(&self) -> SessionId {
        self.common().id
    }

    /// Its owner.
    pub const fn user(&self) -> &UserId {
        &self.common().user
    }

    /// The job that its start is.
    pub const fn start_job(&self) -> JobId {
        self.common().start_job
    }

    /// The status that the API shows.
    pub const fn status(&self) -> Status {
        match self {
            Self::Waiting(_) | Self::Queued(_) => Status::Queued,
            Self::Provisioning(_) => Status::Provisioning,
            Self::Starting(_) => Status::Starting,
            Self::Ready(_) => Status::Ready,
            Self::Stopping(_) => Status::Stopping,
            Self::Ended(s) if s.reason.is_failure() => Status::Failed,
            Self::Ended(_) => Status::Stopped,
        }
    }

    /// When someone must look at it if nothing else happens; none once it has ended.
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

    /// Whether new commands are taken.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Waiting(_)
            | Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_) => self.common().drain.is_none(),
            Self::Stopping(_) | Self::Ended(_) => false,
        }
    }

    /// Whether it counts against its owner's quota.
    pub const fn holds_slot(&self) -> bool {
        !matches!(self, Self::Waiting(_) | Self::Ended(_))
            && !matches!(self, Self::Stopping(s) if !s.holds_slot)
    }

    /// Why it is ending or has ended.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Stopping(s) => Some(s.stop.reason),
            Self::Ended(s) => Some(s.reason),
            Self::Waiting(_)
            | Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_) => None,
        }
    }

    /// When it became ready, if it ever did.
    pub const fn ready_at(&self) -> Option<Timestamp> {
        match self {
            Self::Ready(s) => Some(s.ready_at),
            Self::Stopping(s) => s.ready_at,
            Self::Ended(s) => s.ready_at,
            Self::Waiting(_) | Self::Queued(_) | Self::Provisioning(_) | Self::Starting(_) => None,
        }
    }

    /// Where webhooks go.
    pub const fn webhook(&self) -> Option<&Endpoint> {
        self.common().spec.webhook.as_ref()
    }

    /// The endpoint said that it is gone: nothing more is sent there.
    pub fn webhook_gone(mut self) -> Self {
        if let Some(endpoint) = &mut self.common_mut().spec.webhook {
            endpoint.gone = true;
        }
        self
    }
}

macro_rules! into_session {
    ($($state:ident)*) => {
        $(impl From<$state> for Session {
            fn from(state: $state) -> Self {
                Self::$state(state)
            }
        })*
    };
}
into_session!(Waiting Queued Provisioning Starting Ready Stopping Ended);

#[cfg(test)]
mod tests;
