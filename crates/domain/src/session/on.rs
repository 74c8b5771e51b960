//! The one door for events whose state is known only at run time.

use super::{Drain, Reason, Session, Transition, Waiter, state};
use crate::{JobId, TaskId, Timestamp, task::StopCause, timeline::Stamp};

/// Something that happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A task exists.
    Placed(TaskId),
    /// The request for a task was refused for good.
    Refused(String),
    /// The container runs.
    Running,
    /// The runner answered.
    Ready,
    /// The owner is warned of the deadline.
    Warn,
    /// It ends once its jobs are done.
    Drain { reason: Reason, note: Option<String> },
    /// It ends.
    Stop { reason: Reason, note: Option<String> },
    /// The task was told to stop.
    StopSent,
    /// The task is gone.
    TaskStopped(Option<StopCause>),
}

/// The event does not fit the state. The session is handed back untouched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the session is {}", .session.status().name())]
pub struct TransitionError {
    /// As it was.
    pub session: Box<Session>,
}

impl Session {
    /// Applies an event, or hands the session back where the event has no meaning: most often
    /// because it came twice or late.
    pub fn on(self, event: Event, stamp: Stamp) -> Result<Transition, TransitionError> {
        use Event as E;
        Ok(match (self, event) {
            (Self::Provisioning(s), E::Placed(task)) => s.placed(task, stamp).any(),
            (Self::Stopping(s), E::Placed(task)) if s.placement == state::Placement::Asked => {
                s.task_found(task, stamp).any()
            }
            (Self::Provisioning(s), E::Refused(cause)) => s.refused(cause, stamp).any(),
            (Self::Starting(s), E::Running) if !s.is_running() => s.running(stamp).any(),
            (Self::Starting(s), E::Ready) => s.ready(stamp).any(),
            (Self::Ready(s), E::Warn) => s.warn(stamp).any(),
            (session, E::Drain { reason, note }) if session.is_open() => {
                session.drain(reason, note, stamp)
            }
            (Self::Waiting(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Queued(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Provisioning(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Starting(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Ready(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Stopping(s), E::StopSent)
                if matches!(s.placement, state::Placement::Placed(_)) =>
            {
                s.stop_sent(stamp).any()
            }
            (Self::Starting(s), E::TaskStopped(cause)) => s.task_stopped(cause, stamp).any(),
            (Self::Ready(s), E::TaskStopped(cause)) => s.task_stopped(cause, stamp).any(),
            (Self::Stopping(s), E::TaskStopped(cause))
                if matches!(s.placement, state::Placement::Placed(_)) =>
            {
                s.task_stopped(cause, stamp).any()
            }
            (session, _) => return Err(TransitionError { session: Box::new(session) }),
        })
    }

    fn drain(mut self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition {
        let status = self.status();
        let drain = Drain { at: stamp.now, reason, note };
        let entry = state::drain(self.common_mut(), status, drain, stamp);
        Transition { session: self.touched(stamp), entries: vec![entry] }
    }

    /// Makes it end with its first command; only at its birth.
    pub fn one_shot(mut self, now: Timestamp) -> Self {
        let reason = Reason::CommandFinished;
        self.common_mut().drain = Some(Drain { at: now, reason, note: None });
        self
    }

    /// Adds a job that waits for its end. Handed back untouched if it is over.
    pub fn add_stop_job(mut self, job: JobId) -> Self {
        if !matches!(self, Self::Ended(_)) {
            self.common_mut().stop_jobs.push(job);
        }
        self
    }

    /// Hangs up the bell of an execution; somebody looks again at `due_at` if it is never rung.
    pub fn register_waiter(mut self, waiter: Waiter, due_at: Timestamp) -> Self {
        if let Some(wakeup) = self.wakeup_mut() {
            wakeup.waiter = Some(waiter);
            wakeup.due_at = due_at;
        }
        self
    }

    /// Puts off the next look.
    pub fn recheck_at(mut self, due_at: Timestamp) -> Self {
        match &mut self {
            Self::Waiting(s) => s.due_at = due_at,
            Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_)
            | Self::Stopping(_)
            | Self::Ended(_) => {
                if let Some(wakeup) = self.wakeup_mut() {
                    wakeup.due_at = due_at;
                }
            }
        }
        self
    }

    /// The execution that waits, if one does.
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

    /// The task that serves it, if one is known.
    pub const fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Starting(s) => Some(&s.task),
            Self::Ready(s) => Some(&s.task),
            Self::Stopping(s) => match &s.placement {
                state::Placement::Placed(task) | state::Placement::Gone(task, _) => Some(task),
                state::Placement::None | state::Placement::Asked => None,
            },
            Self::Ended(s) => s.task.as_ref(),
            Self::Waiting(_) | Self::Queued(_) | Self::Provisioning(_) => None,
        }
    }

    fn touched(mut self, stamp: Stamp) -> Self {
        if let Some(wakeup) = self.wakeup_mut() {
            *wakeup = wakeup.clone().touched(stamp);
        }
        self
    }

    const fn wakeup_mut(&mut self) -> Option<&mut super::common::Wakeup> {
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
