//! What is known of tasks and calls.

use std::collections::{BTreeMap, HashMap};

use sandbox::Driver;
use serde_json::Value;

use crate::{faults::Faults, moment::now_ms, task::Task};

/// As the reference says of stopped tasks: "for at least one hour".
const SHOWN_AFTER_STOP_MS: u64 = 3_600_000;
/// A client token's answer is kept so long, or an hour beyond its tasks' end if that is sooner.
const TOKEN_MS: u64 = 24 * 3_600_000;

/// What is known; only under its lock does anything change.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) answers: HashMap<(String, String), Answer>,
    pub(crate) faults: Faults,
    pub(crate) calls: BTreeMap<String, u64>,
    /// No task starts any more.
    pub(super) closed: bool,
}

/// What a client token was answered, to be answered again.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) request: Value,
    pub(crate) answer: Value,
    pub(crate) tasks: Vec<String>,
    pub(crate) at: u64,
}

impl State {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn forget_the_old(&mut self, driver: &Driver) {
        let now = now_ms();
        let old = |at: Option<u64>| at.is_some_and(|at| at + SHOWN_AFTER_STOP_MS < now);
        self.tasks.retain(|_, task| {
            let keep = !old(task.stopped_at);
            if !keep {
                driver.forget(&task.sandbox);
            }
            keep
        });
        let tasks = &self.tasks;
        self.answers.retain(|_, answer| {
            let lives =
                answer.tasks.is_empty() || answer.tasks.iter().any(|id| tasks.contains_key(id));
            lives && answer.at + TOKEN_MS > now
        });
    }
}
