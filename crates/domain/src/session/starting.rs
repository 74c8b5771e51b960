//! The state `starting`: a task was placed, and its runner has not answered yet.

use serde::{Deserialize, Serialize};

use super::{
    Placement, Ready, Reason, Status, Stopping, Transition,
    common::{Change, Common},
    stopping::BeforeStop,
    wakeup::Wakeup,
};
use crate::{
    TaskId, Timestamp,
    task::StopCause,
    timeline::{EventKind, Stamp},
};

/// A task was placed; its runner has not answered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
    pub(super) task: TaskId,
    pub(super) running_at: Option<Timestamp>,
}

impl Starting {
    /// The task that serves the session.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Whether the task's container is known to run.
    pub const fn is_running(&self) -> bool {
        self.running_at.is_some()
    }

    /// The container runs.
    pub fn running(mut self, stamp: Stamp) -> Transition<Self> {
        self.running_at = Some(stamp.now);
        self.wakeup = self.wakeup.changed(stamp.now);
        let change = Change::within(EventKind::TaskRunning, Status::Starting);
        let entry = self.common.enter(change, stamp);
        Transition::new(self, entry)
    }

    /// The runner answered. The time to live and the idle timeout count from here.
    pub fn ready(self, stamp: Stamp) -> Transition<Ready> {
        let Self { mut common, wakeup, task, .. } = self;
        common.expires_at = common.expires_at.max(stamp.now + common.spec.ttl);
        common.last_active_at = stamp.now;
        let change = Change::of(EventKind::Ready, Status::Starting, Status::Ready);
        let entry = common.enter(change, stamp);
        let wakeup = wakeup.changed(stamp.now);
        Transition::new(Ready { common, wakeup, task, ready_at: stamp.now }, entry)
    }

    /// Ends the session before it was ready.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        self.before_stop().stop(reason, note, stamp)
    }

    /// The task stopped before the session was ready.
    pub fn task_stopped(self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Stopping> {
        self.before_stop().task_stopped(cause, stamp)
    }

    fn before_stop(self) -> BeforeStop {
        BeforeStop {
            common: self.common,
            wakeup: self.wakeup,
            from: Status::Starting,
            holds_slot: true,
            placement: Placement::Placed(self.task),
            ready_at: None,
        }
    }
}
