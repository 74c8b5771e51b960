//! What an execution of the state machine does next: the output of its steps, and the answer to the
//! task tokens that it waits with.

use domain::{
    Timestamp,
    session::{Session, Step},
};
use serde::Serialize;

/// The next action of an execution. The state `Decide` of the state machine compares these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Provision,
    AwaitRunning,
    Wait,
    Stop,
    Finish,
}

/// An action, and the timeout of the state that performs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Next {
    action: Action,
    /// At least 1, which is the shortest timeout that the state machine takes. Seconds.
    wait_seconds: u64,
}

impl Next {
    /// The next action of this session at this time, as its record has it.
    pub(crate) fn of(session: &Session, now: Timestamp) -> Self {
        let (action, until) = match session.next_step(now) {
            // A session without a slot has no execution. Should one ask all the same, the step that
            // provisions a task refuses.
            Step::AwaitSlot | Step::Provision => (Action::Provision, now),
            Step::WaitRunning => (Action::AwaitRunning, now),
            Step::WaitEnd { until } => (Action::Wait, until),
            Step::StopTask | Step::WaitStopped => (Action::Stop, now),
            Step::Finish | Step::Done => (Action::Finish, now),
        };
        let wait = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        Self { action, wait_seconds: wait.div_ceil(1000).max(1) }
    }
}

#[cfg(test)]
mod tests;
