//! The resources that a session has used.

use std::time::Duration;

use super::{Placement, Session};
use crate::{Timestamp, cost::Usage};

impl Session {
    /// The resources that the session has used until `now`, or until its end.
    pub fn usage(&self, now: Timestamp) -> Usage {
        let common = self.common();
        let commands = match self {
            Self::Ended(s) => s.commands,
            Self::Waiting(_)
            | Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_)
            | Self::Stopping(_) => None,
        };
        let until = self.task_until().unwrap_or(now);
        let task = common.task_at.map_or(Duration::ZERO, |at| until.since(at));
        Usage { task, refusals: common.attempt.saturating_sub(1), commands }
    }

    /// When the task was observed to have stopped, if it was.
    const fn task_until(&self) -> Option<Timestamp> {
        match self {
            Self::Stopping(s) => match &s.placement {
                Placement::Gone(_, stopped) => Some(stopped.at),
                Placement::None | Placement::Asked | Placement::Placed(_) => None,
            },
            Self::Ended(s) => s.task_until,
            Self::Waiting(_)
            | Self::Queued(_)
            | Self::Provisioning(_)
            | Self::Starting(_)
            | Self::Ready(_) => None,
        }
    }
}
