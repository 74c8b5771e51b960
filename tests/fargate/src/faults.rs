//! What goes wrong, and how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The switches of `POST /_control/faults`; what a request leaves out stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Faults {
    pub(crate) events: EventFaults,
    /// So many RunTask answers are a refusal for want of capacity; by provider, or for any.
    pub(crate) capacity: Budget,
    /// The reason that such a refusal gives, if not Fargate's usual one.
    pub(crate) capacity_reason: Option<String>,
    /// So many calls are throttled; of RunTask, or by operation.
    pub(crate) throttle: Budget,
    /// So many calls take effect and then fail; of RunTask, or by operation.
    pub(crate) errors: Budget,
    /// How long a task stays in PROVISIONING.
    pub(crate) slow_start_ms: u64,
    /// How long after RUNNING the agent of ECS Exec connects.
    pub(crate) agent_delay_ms: u64,
    /// So many calls of ExecuteCommand find the agent disconnected.
    pub(crate) disconnected: u32,
    /// How long a session's command is silent at least. The real agent: 1000.
    pub(crate) first_output_ms: u64,
}

/// What happens to events on their way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct EventFaults {
    /// The part of all events that comes twice, 0 to 1.
    pub(crate) duplicate: f64,
    /// Each waits for a while of its own, so that they come in any order.
    pub(crate) shuffle: bool,
    /// All wait so long, or with `shuffle` up to twice as long.
    pub(crate) delay_ms: u64,
    /// The part of all events that never comes, 0 to 1.
    pub(crate) drop: f64,
}

/// How many times something still goes wrong.
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
    /// Takes one of those for `name`, if there is one.
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

    /// The same for an operation: a mere number means RunTask.
    pub(crate) fn take_call(&mut self, operation: &str) -> bool {
        match self {
            Self::Any(_) if operation != "RunTask" => false,
            Self::Any(_) | Self::By(_) => self.take(operation),
        }
    }
}
