//! The weather clears: nothing fails any more, and all must come to its end.

use std::time::Duration;

use domain::{session::Session, task::TaskStatus};

use crate::{
    laws::{Law, Violation},
    nature::SWEEP,
    world::World,
};

/// Time that passes between two looks while sessions are alive.
const LOOK: Duration = Duration::from_secs(5);
/// How long all sessions may take to end: all who wait, one after the other.
const ENOUGH: Duration = Duration::from_hours(3);
/// Time that passes between two looks at deliveries that are left, and how often.
const LONG_LOOK: Duration = Duration::from_mins(20);
const LONG_LOOKS: u32 = 130;

impl World {
    /// Runs on without faults until all is over, then holds all to the laws.
    pub(crate) fn quiesce(&mut self) {
        self.calm();
        let begun = self.fakes.now();
        while !self.is_broken() && !self.all_ended() {
            if self.fakes.now() > begun + ENOUGH {
                self.blame_the_living();
                return;
            }
            self.look(LOOK);
            self.check_leaks(begun);
        }
        for _ in 0..LONG_LOOKS {
            if self.is_broken() || self.all_delivered() && self.hands.is_empty() {
                break;
            }
            self.look(LONG_LOOK);
        }
        // Twice the sweep, so that it sees what the last events left.
        for _ in 0..24 {
            if !self.is_broken() {
                self.look(LOOK);
            }
        }
        if !self.is_broken() {
            self.check_the_end();
        }
    }

    fn calm(&mut self) {
        self.stormy = false;
        self.fakes.gate.heal();
        self.fakes.compute.forget_troubles();
        self.fakes.webhooks.forget_answers();
        for facts in self.fakes.compute.tasks() {
            self.fakes.shell.wake(&facts.task);
        }
        self.note(|| "the weather clears".into());
    }

    fn look(&mut self, span: Duration) {
        self.fakes.clock.advance(span);
        if self.fakes.now() >= self.sweep_at {
            self.sweep_at = self.fakes.now() + SWEEP;
            self.begin_sweep();
        }
        for facts in self.fakes.compute.tasks() {
            match facts.status {
                TaskStatus::Pending => {
                    drop(self.fakes.compute.advance(&facts.task, TaskStatus::Running))
                }
                TaskStatus::Running if !facts.ending => {}
                TaskStatus::Running | TaskStatus::Stopping => {
                    self.fakes.compute.advance(&facts.task, TaskStatus::Stopped);
                }
                TaskStatus::Stopped => {}
            }
        }
        self.run_until_idle();
    }

    /// Polls, delivers and steps until nothing moves.
    fn run_until_idle(&mut self) {
        let mut still = 0;
        while still < 3 && !self.is_broken() {
            let before = (self.fakes.gate.calls(), self.finished);
            for at in (0..self.hands.len()).rev() {
                self.poll(at);
            }
            while self.deliver_one() {}
            let sessions = self.executions().sessions();
            for session in sessions {
                self.step_execution(session);
            }
            let moved = before != (self.fakes.gate.calls(), self.finished);
            still = if moved { 0 } else { still + 1 };
        }
    }

    fn all_ended(&self) -> bool {
        let over = |session: &Session| matches!(session, Session::Ended(_));
        self.fakes.store.all_sessions().iter().all(|read| over(&read.value))
    }

    fn all_delivered(&self) -> bool {
        self.fakes.store.all_deliveries().iter().all(|read| read.value.due_at().is_none())
    }

    fn blame_the_living(&mut self) {
        let sessions = self.fakes.store.all_sessions();
        let alive = sessions.iter().find(|read| !matches!(read.value, Session::Ended(_)));
        let session = &alive.expect("not all have ended").value;
        let what = format!("it never ends: {session:?}");
        self.break_law(Violation::new(Law::Tasks, vec![session.id().to_string()], what));
    }
}
