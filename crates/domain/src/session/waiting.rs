//! The state `waiting`: accepted above the quota.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Placement, Queued, Reason, Spec, Status, Stopping, Transition,
    common::{Change, Common},
    stopping::BeforeStop,
    wakeup::Wakeup,
};
use crate::{
    JobId, SessionId, Timestamp, UserId,
    timeline::{EventKind, Stamp},
};

/// How often the sweep checks whether a waiting session can have a slot.
const ADMISSION_RECHECK_AFTER: Duration = Duration::from_mins(1);

/// Accepted above the quota; waits for a slot, for as long as it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) due_at: Timestamp,
}

impl Waiting {
    /// Accepts a session that must wait for a slot.
    pub fn accept(
        id: SessionId,
        user: UserId,
        start_job: JobId,
        spec: Spec,
        stamp: Stamp,
    ) -> Transition<Self> {
        let due_at = stamp.now + ADMISSION_RECHECK_AFTER;
        let (common, entry) = Common::accept(id, user, start_job, spec, stamp);
        Transition::new(Self { common, due_at }, entry)
    }

    /// Gives the session a slot; the caller takes the slot in the same transaction. The time to live
    /// counts from here until the session is ready.
    pub fn admit(mut self, stamp: Stamp) -> Transition<Queued> {
        self.common.expires_at = stamp.now + self.common.spec.ttl;
        let change = Change::within(EventKind::Admitted, Status::Queued);
        let entry = self.common.enter(change, stamp);
        Transition::new(Queued::new(self.common, stamp.now), entry)
    }

    /// Ends the session before it had a slot.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        BeforeStop {
            common: self.common,
            wakeup: Wakeup::new(stamp.now),
            from: Status::Queued,
            holds_slot: false,
            placement: Placement::None,
            ready_at: None,
        }
        .stop(reason, note, stamp)
    }
}
