//! The state `ended`: final.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Reason, common::Common};
use crate::{JobId, TaskId, Timestamp, cost::Tally};

/// Ended. Final: there are no transitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) task: Option<TaskId>,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) reason: Reason,
    pub(super) note: Option<String>,
    pub(super) ended_at: Timestamp,
    /// When the task was observed to have stopped, or was abandoned; none without a task.
    pub(super) task_until: Option<Timestamp>,
    pub(super) commands: Option<Tally>,
}

impl Ended {
    /// When the session ended.
    pub const fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// The job of all stops that are requested after this end, if none was requested before. A final
    /// record can't name a new job, so its id follows from the record.
    pub fn stop_job(&self) -> JobId {
        let millis = self.ended_at.millis().unsigned_abs();
        JobId::from_ulid(Ulid::from_parts(millis, self.common.id.ulid().random()))
    }

    /// The owner's or the provider's message on the reason.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Adds what the session's commands used, all together.
    #[must_use]
    pub const fn with_commands(mut self, commands: Tally) -> Self {
        self.commands = Some(commands);
        self
    }
}
