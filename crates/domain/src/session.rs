//! A session: a disposable shell from its start to its end, as one record.
//!
//! Each state is a struct with the fields of that state. A transition consumes the state and gives
//! a [`Transition`]: the next session and the timeline entries that must be written with it. The final
//! state has no transitions. [`Session::next_step`] says what the session needs next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    JobId, Secret, SessionId, TaskId, Timestamp, UserId, file::NewFile, timeline::Entry,
    webhook::Endpoint,
};

mod common;
mod ended;
mod event;
mod provisioning;
mod queued;
mod ready;
mod reason;
mod spec;
mod starting;
mod status;
mod step;
mod stopping;
mod usage;
mod waiting;
mod wakeup;

pub use common::{Common, Drain};
pub use ended::Ended;
pub use event::{Event, TerminalEvent, TransitionError};
pub use provisioning::Provisioning;
pub use queued::Queued;
pub use ready::{Ready, WARN_BEFORE};
pub use reason::Reason;
pub use spec::{Admission, Spec};
pub use starting::Starting;
pub use status::Status;
pub use step::Step;
pub use stopping::{Placement, Stop, Stopping, TaskStopped};
pub use waiting::Waiting;
pub use wakeup::{Waiter, Waits};

/// A session in one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Session {
    /// Accepted above the quota; waits for a slot.
    Waiting(Waiting),
    /// Holds a slot; no task was requested yet.
    Queued(Queued),
    /// A task is being requested.
    Provisioning(Provisioning),
    /// A task was placed; its runner has not answered yet.
    Starting(Starting),
    /// The runner answered; the session runs commands.
    Ready(Ready),
    /// Will end; its task may still exist.
    Stopping(Stopping),
    /// Ended. Final.
    Ended(Ended),
}

/// The result of a transition: the session and its entries are written in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a transition has no effect before it is written"]
pub struct Transition<S = Session> {
    /// The session after the transition.
    pub session: S,
    /// The entries to add to the timeline.
    pub entries: Vec<Entry>,
}

impl<S> Transition<S> {
    /// A transition with one timeline entry.
    pub(crate) fn new(session: S, entry: Entry) -> Self {
        Self { session, entries: vec![entry] }
    }

    /// Adds a second transition; both are written together.
    pub fn then<T>(mut self, next: impl FnOnce(S) -> Transition<T>) -> Transition<T> {
        let Transition { session, entries } = next(self.session);
        self.entries.extend(entries);
        Transition { session, entries: self.entries }
    }
}

impl<S: Into<Session>> Transition<S> {
    /// The same transition, with the state known only at run time.
    pub fn any(self) -> Transition {
        Transition { session: self.session.into(), entries: self.entries }
    }
}

impl Session {
    /// The part of the record that every state has.
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

    /// The session's id.
    pub const fn id(&self) -> SessionId {
        self.common().id
    }

    /// The session's owner.
    pub const fn user(&self) -> &UserId {
        &self.common().user
    }

    /// The start job, which completes when the session is ready.
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

    /// Whether the session takes new jobs.
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

    /// Whether the session counts against its owner's quota.
    pub const fn holds_slot(&self) -> bool {
        !matches!(self, Self::Waiting(_) | Self::Ended(_))
            && !matches!(self, Self::Stopping(s) if !s.holds_slot)
    }

    /// Why the session is ending or has ended; none before that.
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

    /// The task that serves the session, if one is known.
    pub const fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Starting(s) => Some(&s.task),
            Self::Ready(s) => Some(&s.task),
            Self::Stopping(s) => match &s.placement {
                Placement::Placed(task) | Placement::Gone(task, _) => Some(task),
                Placement::None | Placement::Asked => None,
            },
            Self::Ended(s) => s.task.as_ref(),
            Self::Waiting(_) | Self::Queued(_) | Self::Provisioning(_) => None,
        }
    }

    /// When the session became ready, if it ever did.
    pub const fn ready_at(&self) -> Option<Timestamp> {
        match self {
            Self::Ready(s) => Some(s.ready_at),
            Self::Stopping(s) => s.ready_at,
            Self::Ended(s) => s.ready_at,
            Self::Waiting(_) | Self::Queued(_) | Self::Provisioning(_) | Self::Starting(_) => None,
        }
    }

    /// Where webhooks are sent, if the owner wants any.
    pub const fn webhook(&self) -> Option<&Endpoint> {
        self.common().spec.webhook.as_ref()
    }

    /// The session with these environment variables instead of its own.
    #[must_use]
    pub fn with_env(mut self, env: Secret<BTreeMap<String, String>>) -> Self {
        self.common_mut().spec.env = env;
        self
    }

    /// The owner's or the provider's message on the end of the session, if there is one.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Stopping(s) => s.stop.note.as_deref(),
            Self::Ended(s) => s.note(),
            Self::Waiting(_)
            | Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_) => None,
        }
    }

    /// The files that are to be written before the session is ready.
    pub fn files(&self) -> &[NewFile] {
        self.common().spec.files.expose()
    }

    /// Whether a worker may be writing the files.
    pub fn has_claimed_files(&self, now: Timestamp) -> bool {
        self.common().files_claimed_until.is_some_and(|until| now < until)
    }

    /// Claims the right to write the files until then, for one worker: no other may write them again when a
    /// command may have changed them.
    pub fn claim_files(mut self, until: Timestamp) -> Self {
        self.common_mut().files_claimed_until = Some(until);
        self
    }

    /// Records that the endpoint answered 410 Gone: nothing more is sent there.
    pub fn webhook_gone(mut self) -> Self {
        if let Some(endpoint) = &mut self.common_mut().spec.webhook {
            endpoint.gone = true;
        }
        self
    }

    /// Makes an accepted session end with its first command: it drains from the beginning, which takes
    /// no timeline entry.
    pub fn one_shot(mut self, now: Timestamp) -> Self {
        let reason = Reason::CommandFinished;
        self.common_mut().drain = Some(Drain { at: now, reason, note: None });
        self
    }

    /// Adds a stop job, which completes when the session has ended. No effect if it has ended already.
    pub fn add_stop_job(mut self, job: JobId) -> Self {
        if !matches!(self, Self::Ended(_)) {
            self.common_mut().stop_jobs.push(job);
        }
        self
    }
}

from_states!(Session: Waiting Queued Provisioning Starting Ready Stopping Ended);

#[cfg(test)]
mod tests;
