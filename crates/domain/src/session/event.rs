//! Applies events to sessions whose state is known only at run time.

use super::{Drain, Placement, Reason, Session, Transition, common::Change, wakeup::RECHECK_AFTER};
use crate::{
    JobId, TaskId,
    task::StopCause,
    timeline::{EventKind, Stamp},
};

/// Something that happened to a session. Transitions that depend on one known state alone have no
/// event; that state has a method for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The provider placed a task.
    Placed(TaskId),
    /// The provider refused the request for a task for good; its message.
    Refused(String),
    /// The task's container runs.
    Running,
    /// The runner answered.
    Ready,
    /// The owner is warned of the deadline.
    Warn,
    /// Something happened to the terminal of this job.
    Terminal(TerminalEvent, JobId),
    /// The session takes no new jobs and ends once its open jobs are done.
    Drain { reason: Reason, note: Option<String> },
    /// The session ends.
    Stop { reason: Reason, note: Option<String> },
    /// The stop request was sent to the task's provider.
    StopSent,
    /// The task has stopped.
    TaskStopped(Option<StopCause>),
}

/// What happened to a terminal of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalEvent {
    /// Its command runs, and clients may connect.
    Opened,
    /// A client has connected.
    Attached,
    /// A client has gone; the command goes on.
    Detached,
    /// Its command has ended.
    Closed,
}

/// The event does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the session is {}", .session.status().name())]
pub struct TransitionError {
    /// The session, unchanged.
    pub session: Box<Session>,
}

impl Session {
    /// Makes the transition of an event.
    ///
    /// # Errors
    /// With the session unchanged if its state has no transition for the event; most often because the
    /// event came twice or late.
    pub fn on(self, event: Event, stamp: Stamp) -> Result<Transition, TransitionError> {
        use Event as E;
        Ok(match (self, event) {
            (Self::Provisioning(s), E::Placed(task)) => s.placed(task, stamp).any(),
            (Self::Stopping(s), E::Placed(task)) if s.placement == Placement::Asked => {
                s.task_found(task, stamp).any()
            }
            (Self::Provisioning(s), E::Refused(cause)) => s.refused(cause, stamp).any(),
            (Self::Starting(s), E::Running) if !s.is_running() => s.running(stamp).any(),
            (Self::Starting(s), E::Ready) => s.ready(stamp).any(),
            (Self::Ready(s), E::Warn) => s.warn(stamp).any(),
            (Self::Ready(s), E::Terminal(event, job)) => s.terminal(event, job, stamp).any(),
            (session, E::Drain { reason, note }) if session.is_open() => {
                session.drain(reason, note, stamp)
            }
            (Self::Waiting(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Queued(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Provisioning(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Starting(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Ready(s), E::Stop { reason, note }) => s.stop(reason, note, stamp).any(),
            (Self::Stopping(s), E::StopSent) if matches!(s.placement, Placement::Placed(_)) => {
                s.stop_sent(stamp).any()
            }
            (Self::Starting(s), E::TaskStopped(cause)) => s.task_stopped(cause, stamp).any(),
            (Self::Ready(s), E::TaskStopped(cause)) => s.task_stopped(cause, stamp).any(),
            (Self::Stopping(s), E::TaskStopped(cause))
                if matches!(s.placement, Placement::Placed(_)) =>
            {
                s.task_stopped(cause, stamp).any()
            }
            (session, _) => return Err(TransitionError { session: Box::new(session) }),
        })
    }

    fn drain(mut self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition {
        let change =
            Change::within(EventKind::Draining, self.status()).because(reason.name().to_owned());
        let common = self.common_mut();
        common.drain = Some(Drain { at: stamp.now, reason, note });
        let entry = common.enter(change, stamp);
        if let Some(wakeup) = self.wakeup_mut() {
            wakeup.due_at = stamp.now + RECHECK_AFTER;
        }
        Transition::new(self, entry)
    }
}
