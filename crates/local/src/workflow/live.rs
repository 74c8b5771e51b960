//! The executions in memory: who can go on, who is being driven, who waits until when.

use std::collections::{BTreeSet, HashMap, VecDeque};

use asl::Execution;
use domain::{SessionId, Timestamp};

/// All executions that are not over.
#[derive(Default)]
pub(super) struct Live {
    executions: HashMap<SessionId, One>,
    runnable: VecDeque<SessionId>,
    timers: BTreeSet<(Timestamp, SessionId)>,
}

struct One {
    /// In a box, for a map has more room than it uses.
    execution: Box<Execution>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In the list of those that can go on.
    Runnable,
    /// In somebody's hands.
    Driven,
    /// In somebody's hands, and something has happened to it since.
    DrivenAgain,
    /// Waits for its token or its timer.
    Resting(Timestamp),
}

impl Live {
    /// Adds an execution that can go on.
    pub(super) fn insert(&mut self, session: SessionId, execution: Execution) {
        let one = One { execution: Box::new(execution), stage: Stage::Runnable };
        self.executions.insert(session, one);
        self.runnable.push_back(session);
    }

    pub(super) fn get(&mut self, session: SessionId) -> Option<&mut Execution> {
        self.executions.get_mut(&session).map(|one| one.execution.as_mut())
    }

    pub(super) fn count(&self) -> usize {
        self.executions.len()
    }

    /// Something happened to it: it can go on.
    pub(super) fn wake(&mut self, session: SessionId) {
        let Some(one) = self.executions.get_mut(&session) else { return };
        match one.stage {
            Stage::Runnable | Stage::DrivenAgain => {}
            Stage::Driven => one.stage = Stage::DrivenAgain,
            Stage::Resting(until) => {
                one.stage = Stage::Runnable;
                self.timers.remove(&(until, session));
                self.runnable.push_back(session);
            }
        }
    }

    /// Gives one that can go on into somebody's hands.
    pub(super) fn take(&mut self) -> Option<SessionId> {
        let session = self.runnable.pop_front()?;
        if let Some(one) = self.executions.get_mut(&session) {
            one.stage = Stage::Driven;
        }
        Some(session)
    }

    /// Lets it rest until its token or this time. False if something has happened meanwhile: then it
    /// stays in these hands.
    pub(super) fn rest(&mut self, session: SessionId, until: Timestamp) -> bool {
        let Some(one) = self.executions.get_mut(&session) else { return true };
        if one.stage == Stage::DrivenAgain {
            one.stage = Stage::Driven;
            return false;
        }
        one.stage = Stage::Resting(until);
        self.timers.insert((until, session));
        true
    }

    /// Wakes those whose time has come.
    pub(super) fn fire(&mut self, now: Timestamp) {
        while let Some((_, session)) = self.timers.first().filter(|(at, _)| *at <= now).copied() {
            self.wake(session);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// It is over. Only who has it in hand may say so.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.executions.remove(&session);
    }
}

#[cfg(test)]
mod tests;
