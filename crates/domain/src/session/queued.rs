//! The state `queued`: a slot is held, and no task was requested yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Placement, Provisioning, Reason, Spec, Starting, Status, Stopping, Transition,
    common::{Change, Common},
    stopping::BeforeStop,
    wakeup::Wakeup,
};
use crate::{
    JobId, SessionId, TaskId, Timestamp, UserId,
    timeline::{EventKind, Stamp},
};

/// How long a session may take from its slot to ready, all attempts together.
const READY_WITHIN: Duration = Duration::from_mins(10);

/// Holds a slot; no task was requested yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
}

impl Queued {
    /// Accepts a session that has its slot.
    pub fn accept(
        id: SessionId,
        user: UserId,
        start_job: JobId,
        spec: Spec,
        stamp: Stamp,
    ) -> Transition<Self> {
        let (common, entry) = Common::accept(id, user, start_job, spec, stamp);
        Transition::new(Self::new(common, stamp.now), entry)
    }

    pub(super) fn new(common: Common, now: Timestamp) -> Self {
        Self { common, wakeup: Wakeup::new(now), ready_by: now + READY_WITHIN }
    }

    /// Records the intent to request a task, before the request is made.
    pub fn provision(self, stamp: Stamp) -> Transition<Provisioning> {
        let Self { mut common, wakeup, ready_by } = self;
        common.attempt = 1;
        let change = Change::of(EventKind::Provisioning, Status::Queued, Status::Provisioning);
        let entry = common.enter(change, stamp);
        let wakeup = wakeup.changed(stamp.now);
        Transition::new(Provisioning { common, wakeup, ready_by }, entry)
    }

    /// Takes a warm task; the caller claims that task in the same transaction.
    pub fn claim(self, task: TaskId, stamp: Stamp) -> Transition<Starting> {
        let Self { mut common, wakeup, ready_by } = self;
        common.task_at = Some(stamp.now);
        let change = Change::of(EventKind::WarmTaskClaimed, Status::Queued, Status::Starting);
        let entry = common.enter(change, stamp);
        let wakeup = wakeup.changed(stamp.now);
        let running_at = Some(stamp.now);
        Transition::new(Starting { common, wakeup, ready_by, task, running_at }, entry)
    }

    /// Ends the session before a task was requested.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        BeforeStop {
            common: self.common,
            wakeup: self.wakeup,
            from: Status::Queued,
            holds_slot: true,
            placement: Placement::None,
            ready_at: None,
        }
        .stop(reason, note, stamp)
    }
}
