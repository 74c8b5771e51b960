//! The state `provisioning`: a task is being requested.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Placement, Reason, Starting, Status, Stopping, Transition,
    common::{Change, Common},
    stopping::BeforeStop,
    wakeup::Wakeup,
};
use crate::{
    TaskId, Timestamp,
    timeline::{EventKind, Stamp},
};

/// How long after a refusal the session is rechecked; the execution backs off in between.
const RECHECK_AFTER_REFUSAL: Duration = Duration::from_mins(2);

/// A task is being requested. The attempt (`common.attempt`) was recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
}

impl Provisioning {
    /// The token that makes a repeated request harmless. It changes only with the attempt.
    pub fn client_token(&self) -> String {
        format!("{}-a{}", self.common.id, self.common.attempt)
    }

    /// The provider placed a task.
    pub fn placed(self, task: TaskId, stamp: Stamp) -> Transition<Starting> {
        let Self { mut common, wakeup, ready_by } = self;
        common.task_at = Some(stamp.now);
        let change = Change::of(EventKind::TaskPlaced, Status::Provisioning, Status::Starting);
        let entry = common.enter(change, stamp);
        let wakeup = wakeup.changed(stamp.now);
        Transition::new(Starting { common, wakeup, ready_by, task, running_at: None }, entry)
    }

    /// The provider refused the request for good; the next attempt has a new client token. `cause` is
    /// the provider's message.
    pub fn refused(mut self, cause: String, stamp: Stamp) -> Transition<Self> {
        self.wakeup.due_at = stamp.now + RECHECK_AFTER_REFUSAL;
        let change =
            Change::within(EventKind::PlacementRefused, Status::Provisioning).because(cause);
        let entry = self.common.enter(change, stamp);
        self.common.attempt += 1;
        Transition::new(self, entry)
    }

    /// Ends the session; the request that is under way may still place a task.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        BeforeStop {
            common: self.common,
            wakeup: self.wakeup,
            from: Status::Provisioning,
            holds_slot: true,
            placement: Placement::Asked,
            ready_at: None,
        }
        .stop(reason, note, stamp)
    }
}
