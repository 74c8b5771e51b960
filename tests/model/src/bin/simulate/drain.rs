//! The end of a run: fault injection ends, and all work is drained.

use std::time::Duration;

use domain::{session::Session, task::TaskStatus};
use testkit::Invariant;

use crate::{environment::SWEEP, invariants::Violation, simulation::Simulation};

/// Time between two ticks while sessions are open.
const TICK: Duration = Duration::from_secs(5);
/// Time limit for all sessions to end; waiting sessions may end one after the other.
const MAX_DRAIN: Duration = Duration::from_hours(3);
/// Time between two ticks while only deliveries are open, and the number of these ticks.
const LONG_TICK: Duration = Duration::from_mins(20);
const LONG_TICKS: u32 = 130;

impl Simulation {
    /// Runs without faults until all work has ended, then checks the invariants.
    pub(crate) fn drain(&mut self) {
        self.disable_faults();
        let begun = self.fakes.now();
        while !self.is_violated() && !self.all_ended() {
            if self.fakes.now() > begun + MAX_DRAIN {
                self.report_open_session();
                return;
            }
            self.tick(TICK);
            self.check_leaks(begun);
        }
        for _ in 0..LONG_TICKS {
            if self.is_violated() || self.all_delivered() && self.in_flight.is_empty() {
                break;
            }
            self.tick(LONG_TICK);
        }
        // Two sweeps, so that the second one sees the effects of the last events.
        for _ in 0..24 {
            if !self.is_violated() {
                self.tick(TICK);
            }
        }
        if !self.is_violated() {
            self.check_the_end();
        }
    }

    fn disable_faults(&mut self) {
        self.faults_enabled = false;
        self.fakes.gate.heal();
        self.fakes.compute.clear_faults();
        self.fakes.webhooks.forget_answers();
        for facts in self.fakes.compute.tasks() {
            self.fakes.shell.wake(&facts.task);
        }
        self.note(|| "fault injection ends".into());
    }

    fn tick(&mut self, span: Duration) {
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
                TaskStatus::Unplaced | TaskStatus::Stopped => {}
            }
        }
        self.run_until_idle();
    }

    /// Polls, delivers and steps until nothing changes.
    fn run_until_idle(&mut self) {
        let mut idle_rounds = 0;
        while idle_rounds < 3 && !self.is_violated() {
            let before = (self.fakes.gate.calls(), self.finished);
            for at in (0..self.in_flight.len()).rev() {
                self.poll(at);
            }
            while self.deliver_one() {}
            self.deliver_links();
            let sessions = self.executions().sessions();
            for session in sessions {
                self.step_execution(session);
            }
            let moved = before != (self.fakes.gate.calls(), self.finished);
            idle_rounds = if moved { 0 } else { idle_rounds + 1 };
        }
    }

    fn all_ended(&self) -> bool {
        let over = |session: &Session| matches!(session, Session::Ended(_));
        self.fakes.store.all_sessions().iter().all(|read| over(&read.value))
    }

    fn all_delivered(&self) -> bool {
        self.fakes.store.all_deliveries().iter().all(|read| read.value.due_at().is_none())
    }

    fn report_open_session(&mut self) {
        let sessions = self.fakes.store.all_sessions();
        let alive = sessions.iter().find(|read| !matches!(read.value, Session::Ended(_)));
        let session = &alive.expect("not all have ended").value;
        let what = format!("the session never ends: {session:?}");
        self.violate(Violation::new(
            Invariant::NoTaskWithoutRecord,
            vec![session.id().to_string()],
            what,
        ));
    }
}
