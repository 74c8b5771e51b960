//! The state `stopping`: the session will end, and its task may still exist.

use serde::{Deserialize, Serialize};

use super::{
    Ended, Reason, Status, Transition,
    common::{Change, Common},
    wakeup::Wakeup,
};
use crate::{
    TaskId, Timestamp,
    task::StopCause,
    timeline::{Actor, EventKind, Stamp},
};

/// Will end; its task may still exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) holds_slot: bool,
    pub(super) placement: Placement,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) stop: Stop,
    pub(super) stop_sent_at: Option<Timestamp>,
}

/// What is known of a stopping session's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// No task was ever requested, or the request placed none.
    None,
    /// A task was requested; whether it exists is not known.
    Asked,
    /// The task exists.
    Placed(TaskId),
    /// The task existed and has stopped.
    Gone(TaskId, TaskStopped),
}

/// The decision to end a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// When the decision was made.
    pub at: Timestamp,
    /// Why the session ends.
    pub reason: Reason,
    /// What made the decision.
    pub actor: Actor,
    /// The owner's or the provider's message.
    pub note: Option<String>,
}

/// The observation that a task has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopped {
    /// When it was observed.
    pub at: Timestamp,
    /// Why the task stopped, if the provider said so.
    pub cause: Option<StopCause>,
}

/// What the previous state passes on when the session begins to stop.
pub(super) struct BeforeStop {
    pub(super) common: Common,
    pub(super) wakeup: Wakeup,
    pub(super) from: Status,
    pub(super) holds_slot: bool,
    pub(super) placement: Placement,
    pub(super) ready_at: Option<Timestamp>,
}

impl BeforeStop {
    /// Begins to stop the session.
    pub(super) fn stop(
        self,
        reason: Reason,
        note: Option<String>,
        stamp: Stamp,
    ) -> Transition<Stopping> {
        let Self { mut common, wakeup, from, holds_slot, placement, ready_at } = self;
        let change = Change::of(EventKind::StopRequested, from, Status::Stopping)
            .because(cause(reason, note.as_deref()));
        let entry = common.enter(change, stamp);
        let stopping = Stopping {
            common,
            wakeup: wakeup.changed(stamp.now),
            holds_slot,
            placement,
            ready_at,
            stop: Stop { at: stamp.now, reason, actor: stamp.actor, note },
            stop_sent_at: None,
        };
        Transition::new(stopping, entry)
    }

    /// Begins to stop a session whose task stopped by itself: two transitions, written together.
    pub(super) fn task_stopped(
        self,
        cause: Option<StopCause>,
        stamp: Stamp,
    ) -> Transition<Stopping> {
        let reason = cause.as_ref().map_or(Reason::TaskExited, Reason::of_task);
        let note = cause.as_ref().map(|cause| cause.message.clone());
        self.stop(reason, note, stamp).then(|stopping| stopping.task_stopped(cause, stamp))
    }
}

impl Stopping {
    /// Whether the provider was asked to stop the task.
    pub const fn is_stop_sent(&self) -> bool {
        self.stop_sent_at.is_some()
    }

    /// The decision to end the session.
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// What is known of the task.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// A task that was requested before the stop turned out to exist.
    pub fn task_found(mut self, task: TaskId, stamp: Stamp) -> Transition<Self> {
        self.common.task_at = Some(stamp.now);
        self.placement = Placement::Placed(task);
        self.changed(Change::within(EventKind::TaskFound, Status::Stopping), stamp)
    }

    /// The request for a task placed none.
    pub fn no_task(mut self, stamp: Stamp) -> Self {
        self.placement = Placement::None;
        self.wakeup = self.wakeup.changed(stamp.now);
        self
    }

    /// The stop request was sent to the task's provider.
    pub fn stop_sent(mut self, stamp: Stamp) -> Transition<Self> {
        self.stop_sent_at = Some(stamp.now);
        let change = Change::within(EventKind::StopSent, Status::Stopping);
        self.changed(change, stamp)
    }

    /// The task has stopped.
    pub fn task_stopped(mut self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Self> {
        let message = cause.as_ref().map(|cause| cause.message.clone());
        if let Placement::Placed(task) = self.placement {
            self.placement = Placement::Gone(task, TaskStopped { at: stamp.now, cause });
        }
        let change = Change::within(EventKind::TaskStopped, Status::Stopping).because(message);
        self.changed(change, stamp)
    }

    fn changed(mut self, change: Change, stamp: Stamp) -> Transition<Self> {
        self.wakeup = self.wakeup.changed(stamp.now);
        let entry = self.common.enter(change, stamp);
        Transition::new(self, entry)
    }

    /// Ends the session. With a placement of `Asked` or `Placed` the task is abandoned: the sweep
    /// stops tasks that no live record explains.
    pub fn finish(self, stamp: Stamp) -> Transition<Ended> {
        let Self { mut common, placement, ready_at, stop, .. } = self;
        let (kind, to) = if stop.reason.is_failure() {
            (EventKind::Failed, Status::Failed)
        } else {
            (EventKind::Stopped, Status::Stopped)
        };
        let (task, task_until) = match placement {
            Placement::Placed(task) => (Some(task), Some(stamp.now)),
            Placement::Gone(task, stopped) => (Some(task), Some(stopped.at)),
            Placement::None | Placement::Asked => (None, None),
        };
        let change = Change::of(kind, Status::Stopping, to).because(stop.reason.name().to_owned());
        let entry = common.enter(change, stamp);
        let Stop { reason, note, .. } = stop;
        let ended_at = stamp.now;
        let ended =
            Ended { common, task, ready_at, reason, note, ended_at, task_until, commands: None };
        Transition::new(ended, entry)
    }
}

/// What the timeline says of the decision to end a session.
fn cause(reason: Reason, note: Option<&str>) -> String {
    match note {
        // The note says which file, and why.
        Some(note) if reason == Reason::FilesRefused => format!("{}: {note}", reason.name()),
        Some(_) | None => reason.name().to_owned(),
    }
}
