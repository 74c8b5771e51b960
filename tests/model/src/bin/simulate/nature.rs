//! What happens to the system from outside: time, tasks, post, endpoints.

use std::time::Duration;

use domain::{
    JobId,
    message::Message,
    ports::{EndCause, PostError, Posted, Stream},
    task::{StopCode, TaskStatus},
};
use testkit::{Dice, Script, Trouble};

use crate::{
    hands::{Mail, Why},
    world::World,
};

/// How often the sweep comes.
pub(crate) const SWEEP: Duration = Duration::from_mins(1);

impl World {
    /// Time passes, or is set back.
    pub(crate) fn pass_time(&mut self) {
        let millis = match self.dice.below(100) {
            0..80 => self.dice.below(1_500),
            80..94 => self.dice.below(10_000),
            94..96 => self.dice.below(120_000),
            96..99 => {
                let back = Duration::from_millis(self.dice.below(30_000) as u64);
                self.fakes.clock.set(self.fakes.now() - back);
                self.note(|| format!("the clock goes back by {back:?}"));
                return;
            }
            _ if self.dice.chance(30) => self.dice.below(900_000),
            _ => 0,
        };
        self.fakes.clock.advance(Duration::from_millis(millis as u64));
        if self.fakes.now() >= self.sweep_at {
            self.sweep_at = self.fakes.now() + SWEEP;
            self.begin_sweep();
        }
    }

    /// Something becomes of a task.
    pub(crate) fn move_a_task(&mut self) {
        let alive: Vec<_> = self
            .fakes
            .compute
            .tasks()
            .into_iter()
            .filter(|facts| facts.status != TaskStatus::Stopped)
            .collect();
        let Some(facts) = self.dice.pick(&alive).cloned() else { return };
        let (compute, shell, task) = (&self.fakes.compute, &self.fakes.shell, &facts.task);
        match (facts.status, self.dice.below(100)) {
            (TaskStatus::Pending, 0..4) => drop(compute.die(task, StopCode::FailedToStart)),
            (TaskStatus::Pending, _) => drop(compute.advance(task, TaskStatus::Running)),
            (TaskStatus::Running, _) if facts.ending => {
                compute.advance(task, TaskStatus::Stopped);
            }
            (TaskStatus::Running, 0..1) => drop(compute.die(task, StopCode::Exited)),
            (TaskStatus::Running, 1..2) => drop(compute.die(task, StopCode::OutOfMemory)),
            (TaskStatus::Running, 2..3) => drop(compute.interrupt(task)),
            (TaskStatus::Running, 3..8) => shell.silence(task),
            (TaskStatus::Running, _) => shell.wake(task),
            (TaskStatus::Stopping, 0..60) => drop(compute.advance(task, TaskStatus::Stopped)),
            (TaskStatus::Stopping | TaskStatus::Stopped, _) => {}
        }
        self.count("events of tasks");
    }

    /// Trouble waits for somebody.
    pub(crate) fn make_trouble(&mut self) {
        match self.dice.below(10) {
            0..2 => self.fakes.compute.trouble(Trouble::Capacity),
            2..4 => self.fakes.compute.trouble(Trouble::Throttled),
            4..6 => self.fakes.compute.trouble(Trouble::LostAnswer),
            6 if self.dice.chance(20) => self.fakes.compute.trouble(Trouble::Refused),
            7 => self.fakes.webhooks.answer(Err(PostError::TimedOut)),
            8 if self.dice.chance(20) => {
                self.fakes.webhooks.answer(Ok(Posted { status: 410, retry_after: None }));
            }
            _ => self.fakes.webhooks.answer(Ok(Posted {
                status: 503,
                retry_after: Some(Duration::from_secs(self.dice.below(60) as u64)),
            })),
        }
        self.count("troubles");
    }

    /// A message is lost, or comes once more.
    pub(crate) fn meddle_with_the_post(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let at = self.dice.below(self.mail.len());
        if self.dice.chance(40) {
            let lost = self.mail.swap_remove(at);
            self.note(|| format!("lost: {:?}", lost.message));
            self.count("messages lost");
        } else {
            let twice = self.mail[at].clone();
            self.mail.push(twice);
            self.count("messages doubled");
        }
    }

    /// New messages and new events go into the post.
    pub(crate) fn collect(&mut self) {
        for held in self.fakes.queue.take_held() {
            self.mail.push(Mail { message: held.message, due: held.due, tries: 0 });
        }
        for facts in self.fakes.compute.take_events() {
            self.note(|| format!("event: {facts:?}"));
            let message = Message::TaskEvent { facts };
            let copies =
                if !self.stormy { 1 } else { [0, 1, 1, 1, 1, 1, 1, 2][self.dice.below(8)] };
            for _ in 0..copies {
                let delay = if self.stormy { self.dice.below(5_000) } else { 0 };
                let due = self.fakes.now() + Duration::from_millis(delay as u64);
                self.mail.push(Mail { message: message.clone(), due, tries: 0 });
            }
        }
        for session in self.fakes.workflow.take_started() {
            let now = self.fakes.now();
            self.executions().start(session, now);
        }
    }

    /// A worker dies in the middle of its work.
    pub(crate) fn kill_a_worker(&mut self) {
        if self.hands.is_empty() {
            return;
        }
        let at = self.dice.below(self.hands.len());
        let hand = self.hands.swap_remove(at);
        self.note(|| format!("killed: {:?}", hand.why));
        self.count("workers killed");
        drop(hand.future);
        self.left_undone(hand.why);
    }

    /// The whole process dies.
    pub(crate) fn crash(&mut self) {
        self.count("crashes");
        self.note(|| "crash".into());
        for hand in std::mem::take(&mut self.hands) {
            drop(hand.future);
            self.left_undone(hand.why);
        }
        let mut dice = self.dice.clone();
        self.executions().crash(&mut dice);
        self.dice = dice;
    }

    /// A message that was not settled comes again; an execution hears of a dead function, or the
    /// driver calls again by itself.
    fn left_undone(&mut self, why: Why) {
        match why {
            Why::Message(mail) => self.come_again(mail),
            Why::State(task) => {
                if self.dice.chance(50) {
                    let died = asl::Failure::new("Lambda.Unknown", "it died");
                    self.executions().returned(&task, Err(died));
                }
            }
            Why::Close(_) | Why::Request(_) | Why::Sweep => {}
        }
    }
}

/// What the command of a job does: always the same for the same job.
pub(crate) fn script(seed: u64, job: JobId) -> Script {
    let low = u64::try_from(job.ulid().random() & u128::from(u64::MAX)).expect("64 bits");
    let mut dice = Dice::new(seed ^ low.wrapping_mul(0x9e37_79b9));
    let mut script = Script::default().exits(i32::try_from(dice.below(4)).expect("small"));
    for piece in 0..dice.below(4) {
        let stream = if dice.chance(70) { Stream::Stdout } else { Stream::Stderr };
        let after = Duration::from_millis(dice.below(20_000) as u64);
        script = script.then(after, stream, &format!("piece {piece} of {job}\n"));
    }
    match dice.below(20) {
        0 => script.ends(EndCause::NotFound("no such program".into()), None),
        1 => script.lasts(Duration::from_hours(10)),
        _ => script.lasts(Duration::from_millis(dice.below(30_000) as u64)),
    }
}
