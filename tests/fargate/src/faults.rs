//! The faults that tests inject.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The body of `POST /_control/faults`; missing fields keep their values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Faults {
    pub(crate) events: EventFaults,
    /// The number of RunTask calls that find no capacity; by provider, or for any.
    pub(crate) capacity: Budget,
    /// The reason of these refusals, if not the usual one of Fargate.
    pub(crate) capacity_reason: Option<String>,
    /// The number of calls that are throttled; of RunTask, or by operation.
    pub(crate) throttle: Budget,
    /// The number of calls that have their effect and then fail; of RunTask, or by operation.
    pub(crate) errors: Budget,
    /// Time that a task stays in PROVISIONING.
    pub(crate) slow_start_ms: u64,
    /// Time between RUNNING and the connection of the agent of ECS Exec.
    pub(crate) agent_delay_ms: u64,
    /// The number of ExecuteCommand calls that find the agent disconnected.
    pub(crate) disconnected: u32,
    /// Minimum delay of a command's first output; 1000 with the real agent.
    pub(crate) first_output_ms: u64,
}

/// Faults of task events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct EventFaults {
    /// The fraction of events that are sent twice, 0 to 1.
    pub(crate) duplicate: f64,
    /// Delay each event by a random time, so that events arrive in any order.
    pub(crate) shuffle: bool,
    /// The delay of all events; with `shuffle` up to twice as long.
    pub(crate) delay_ms: u64,
    /// The fraction of events that are lost, 0 to 1.
    pub(crate) drop: f64,
}

/// The number of times that a fault is still injected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Budget {
    Any(u32),
    By(BTreeMap<String, u32>),
}

impl Default for Budget {
    fn default() -> Self {
        Self::Any(0)
    }
}

impl Budget {
    /// Uses up one fault for `name`; false if none is left.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        let left = match self {
            Self::Any(left) => Some(left),
            Self::By(each) => each.get_mut(name),
        };
        left.is_some_and(|left| {
            let had = *left > 0;
            *left = left.saturating_sub(1);
            had
        })
    }

    /// Uses up one fault for an operation; a plain number means RunTask.
    pub(crate) fn take_call(&mut self, operation: &str) -> bool {
        match self {
            Self::Any(_) if operation != "RunTask" => false,
            Self::Any(_) | Self::By(_) => self.take(operation),
        }
    }
}
