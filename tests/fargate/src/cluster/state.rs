//! The state of tasks and calls.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use sandbox::Driver;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{faults::Faults, task::Task, time_format::now};

/// Time that a stopped task is shown; the API reference says "for at least one hour".
const SHOWN_AFTER_STOP: Duration = Duration::from_hours(1);
/// Time that the response to a client token is kept, unless its tasks are removed earlier.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The state; all changes happen under its lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) responses: HashMap<(String, String), PreviousResponse>,
    pub(crate) faults: Faults,
    pub(crate) calls: BTreeMap<String, u64>,
    /// The number of instances of each capacity provider that is not Fargate.
    pub(crate) instances: BTreeMap<String, usize>,
    /// Whether the server ends: no task is started any more.
    closed: bool,
}

/// The response to a client token, which is repeated for the same token.
#[derive(Debug, Clone)]
pub(crate) struct PreviousResponse {
    pub(crate) request: Value,
    pub(crate) response: Value,
    pub(crate) tasks: Vec<String>,
    pub(crate) at: OffsetDateTime,
}

impl State {
    /// Without tasks, on the instances of these capacity providers.
    pub(crate) fn new(instances: BTreeMap<String, usize>) -> Self {
        Self { instances, ..Self::default() }
    }

    /// From now on no task is started any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn remove_expired(&mut self, driver: &Driver) {
        let now = now();
        let old = |at: Option<OffsetDateTime>| at.is_some_and(|at| at + SHOWN_AFTER_STOP < now);
        self.tasks.retain(|_, task| {
            let keep = !old(task.stopped_at);
            if !keep {
                driver.forget(&task.sandbox);
            }
            keep
        });
        let tasks = &self.tasks;
        self.responses.retain(|_, response| {
            let lives =
                response.tasks.is_empty() || response.tasks.iter().any(|id| tasks.contains_key(id));
            lives && response.at + TOKEN_LIFETIME > now
        });
    }
}
