//! The executions in memory: which are runnable, which are being driven, and which wait until when.

use std::collections::{BTreeSet, HashMap, VecDeque};

use asl::Execution;
use domain::{SessionId, Timestamp};

/// All executions that have not ended.
#[derive(Default)]
pub(super) struct Live {
    executions: HashMap<SessionId, LiveExecution>,
    runnable: VecDeque<SessionId>,
    timers: BTreeSet<(Timestamp, SessionId)>,
}

struct LiveExecution {
    /// Boxed, because a hash map allocates more entries than it holds.
    execution: Box<Execution>,
    activity: Activity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// Queued to be driven.
    Runnable,
    /// Being driven.
    Driven,
    /// Being driven, and woken since.
    DrivenAndWoken,
    /// Waits for its task token or for its timer.
    Waiting(Timestamp),
}

impl Live {
    /// Adds a runnable execution.
    pub(super) fn insert(&mut self, session: SessionId, execution: Execution) {
        let activity = Activity::Runnable;
        let execution = Box::new(execution);
        self.executions.insert(session, LiveExecution { execution, activity });
        self.runnable.push_back(session);
    }

    pub(super) fn get(&mut self, session: SessionId) -> Option<&mut Execution> {
        self.executions.get_mut(&session).map(|live| live.execution.as_mut())
    }

    pub(super) fn count(&self) -> usize {
        self.executions.len()
    }

    /// Wakes an execution, because something has happened to it.
    pub(super) fn wake(&mut self, session: SessionId) {
        let Some(live) = self.executions.get_mut(&session) else { return };
        match live.activity {
            Activity::Runnable | Activity::DrivenAndWoken => {}
            Activity::Driven => live.activity = Activity::DrivenAndWoken,
            Activity::Waiting(until) => {
                live.activity = Activity::Runnable;
                self.timers.remove(&(until, session));
                self.runnable.push_back(session);
            }
        }
    }

    /// Takes the next runnable execution, to be driven by the caller.
    pub(super) fn take(&mut self) -> Option<SessionId> {
        let session = self.runnable.pop_front()?;
        if let Some(live) = self.executions.get_mut(&session) {
            live.activity = Activity::Driven;
        }
        Some(session)
    }

    /// Lets an execution wait for its task token, until this time at the latest. False if it was woken
    /// while it was driven: then the caller goes on driving it.
    pub(super) fn wait(&mut self, session: SessionId, until: Timestamp) -> bool {
        let Some(live) = self.executions.get_mut(&session) else { return true };
        if live.activity == Activity::DrivenAndWoken {
            live.activity = Activity::Driven;
            return false;
        }
        live.activity = Activity::Waiting(until);
        self.timers.insert((until, session));
        true
    }

    /// Wakes the executions whose timers are due.
    pub(super) fn fire(&mut self, now: Timestamp) {
        while let Some((_, session)) = self.timers.first().filter(|(at, _)| *at <= now).copied() {
            self.wake(session);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Removes an execution that has ended. Only the caller that drives it may do so.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.executions.remove(&session);
    }
}

#[cfg(test)]
mod tests;
