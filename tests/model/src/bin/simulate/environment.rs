//! The environment of the system, and fault injection: time, tasks, messages, endpoints.

use std::time::Duration;

use domain::{
    JobId,
    message::Message,
    ports::{EndCause, PostError, Posted, Stream},
    task::{StopCode, TaskStatus},
};
use fastrand::Rng;
use testkit::{RunFault, Script};

use crate::{
    in_flight::{PendingMessage, Purpose},
    simulation::Simulation,
};

/// Time between two sweeps.
pub(crate) const SWEEP: Duration = Duration::from_mins(1);

impl Simulation {
    /// Moves the clock, mostly forward.
    pub(crate) fn pass_time(&mut self) {
        let millis = match self.rng.usize(..100) {
            0..80 => self.rng.usize(..1_500),
            80..94 => self.rng.usize(..10_000),
            94..96 => self.rng.usize(..120_000),
            96..99 => {
                let back = Duration::from_millis(self.rng.usize(..30_000) as u64);
                self.fakes.clock.set(self.fakes.now() - back);
                self.note(|| format!("the clock goes back by {back:?}"));
                return;
            }
            _ if self.rng.f64() < 0.3 => self.rng.usize(..900_000),
            _ => 0,
        };
        self.fakes.clock.advance(Duration::from_millis(millis as u64));
        if self.fakes.now() >= self.sweep_at {
            self.sweep_at = self.fakes.now() + SWEEP;
            self.begin_sweep();
        }
    }

    /// Changes the state of a random task.
    pub(crate) fn change_a_task(&mut self) {
        let alive: Vec<_> = self
            .fakes
            .compute
            .tasks()
            .into_iter()
            .filter(|facts| facts.status != TaskStatus::Stopped)
            .collect();
        let Some(facts) = self.rng.choice(&alive).cloned() else { return };
        let (compute, shell, task) = (&self.fakes.compute, &self.fakes.shell, &facts.task);
        match (facts.status, self.rng.usize(..100)) {
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
            (TaskStatus::Unplaced | TaskStatus::Stopping | TaskStatus::Stopped, _) => {}
        }
        self.count("events of tasks");
    }

    /// Injects a fault into a later request for a task or a later webhook post.
    pub(crate) fn inject_fault(&mut self) {
        match self.rng.usize(..10) {
            0..2 => self.fakes.compute.fail_next_run(RunFault::Capacity),
            2..4 => self.fakes.compute.fail_next_run(RunFault::Throttled),
            4..6 => self.fakes.compute.fail_next_run(RunFault::LostAnswer),
            6 if self.rng.f64() < 0.2 => self.fakes.compute.fail_next_run(RunFault::Refused),
            7 => self.fakes.webhooks.answer(Err(PostError::TimedOut)),
            8 if self.rng.f64() < 0.2 => {
                self.fakes.webhooks.answer(Ok(Posted { status: 410, retry_after: None }));
            }
            _ => self.fakes.webhooks.answer(Ok(Posted {
                status: 503,
                retry_after: Some(Duration::from_secs(self.rng.usize(..60) as u64)),
            })),
        }
        self.count("faults injected");
    }

    /// Loses or duplicates a message.
    pub(crate) fn disturb_messages(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.messages.len());
        if self.rng.f64() < 0.4 {
            let lost = self.messages.swap_remove(at);
            self.note(|| format!("lost: {:?}", lost.message));
            self.count("messages lost");
        } else {
            let twice = self.messages[at].clone();
            self.messages.push(twice);
            self.count("messages duplicated");
        }
    }

    /// Takes new messages, task events and executions from the fakes.
    pub(crate) fn collect(&mut self) {
        for held in self.fakes.queue.take_held() {
            self.messages.push(PendingMessage {
                message: held.message,
                due: held.due,
                attempts: 0,
            });
        }
        for facts in self.fakes.compute.take_events() {
            self.note(|| format!("event: {facts:?}"));
            let message = Message::TaskEvent { facts };
            let copies = if !self.faults_enabled {
                1
            } else {
                [0, 1, 1, 1, 1, 1, 1, 2][self.rng.usize(..8)]
            };
            for _ in 0..copies {
                let delay = if self.faults_enabled { self.rng.usize(..5_000) } else { 0 };
                let due = self.fakes.now() + Duration::from_millis(delay as u64);
                self.messages.push(PendingMessage { message: message.clone(), due, attempts: 0 });
            }
        }
        for session in self.fakes.workflow.take_started() {
            let now = self.fakes.now();
            self.executions().start(session, now);
        }
    }

    /// Kills a worker in the middle of its work.
    pub(crate) fn kill_a_worker(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.in_flight.len());
        let work = self.in_flight.swap_remove(at);
        self.note(|| format!("killed: {:?}", work.purpose));
        self.count("workers killed");
        drop(work.future);
        self.abandon(work.purpose);
    }

    /// Kills the whole process.
    pub(crate) fn crash(&mut self) {
        self.count("crashes");
        self.note(|| "crash".into());
        for work in std::mem::take(&mut self.in_flight) {
            drop(work.future);
            self.abandon(work.purpose);
        }
        let mut rng = self.rng.clone();
        self.executions().crash(&mut rng);
        self.rng = rng;
    }

    /// The consequences of killed work: its message is redelivered; its execution gets an error, or its
    /// driver invokes the handler again.
    fn abandon(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Message(message) => self.retry_later(message),
            Purpose::State(task) => {
                if self.rng.f64() < 0.5 {
                    let died = asl::Failure::new("Lambda.Unknown", "the function died");
                    self.executions().returned(&task, Err(died));
                }
            }
            Purpose::CloseSession(_)
            | Purpose::Request(_)
            | Purpose::Sweep
            | Purpose::Report(..)
            | Purpose::Connected => {}
        }
    }
}

/// The script of a job's command: the same for each call with the same job.
pub(crate) fn script(seed: u64, job: JobId) -> Script {
    let low = u64::try_from(job.ulid().random() & u128::from(u64::MAX)).expect("64 bits");
    let mut rng = Rng::with_seed(seed ^ low.wrapping_mul(0x9e37_79b9));
    let mut script = Script::default().exits(i32::try_from(rng.usize(..4)).expect("small"));
    for piece in 0..rng.usize(..4) {
        let stream = if rng.f64() < 0.7 { Stream::Stdout } else { Stream::Stderr };
        let after = Duration::from_millis(rng.usize(..20_000) as u64);
        script = script.then(after, stream, &format!("piece {piece} of {job}\n"));
    }
    match rng.usize(..20) {
        0 => script.ends(EndCause::NotFound("no such program".into()), None),
        1 => script.lasts(Duration::from_hours(10)),
        _ => script.lasts(Duration::from_millis(rng.usize(..30_000) as u64)),
    }
}
