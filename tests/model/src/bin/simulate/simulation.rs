//! The state of a run: the fakes, the work in flight, and the random generator.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::Router;
use domain::{Timestamp, job::Work, session::Reason, size::Network};
use fastrand::Rng;
use handlers::{
    Env, Policy,
    permissions::{Function, OnRefusal, Scoped},
};
use model::Executions;
use parking_lot::{Mutex, MutexGuard};
use testkit::{Fakes, FaultPoint, Invariant, kind};

use crate::{
    Ran,
    environment::script,
    in_flight::{InFlight, PendingMessage, Said},
    invariants::{InvariantChecker, Violation},
    log::brief,
    users::Users,
};

/// Limit of futures in flight.
const MAX_IN_FLIGHT: usize = 24;
/// Limit of polls of one future in one step.
const MAX_POLLS: usize = 12;
/// Limit of steps that a future may be paused.
const MAX_PAUSE: usize = 600;
/// The quota of each user.
pub(crate) const QUOTA: u32 = 3;

pub(crate) struct Simulation {
    pub(crate) fakes: Fakes,
    pub(crate) rng: Rng,
    pub(crate) messages: Vec<PendingMessage>,
    pub(crate) in_flight: Vec<InFlight>,
    /// What runners have said and was not delivered.
    pub(crate) said: Vec<Said>,
    pub(crate) users: Users,
    pub(crate) sweep_at: Timestamp,
    /// Whether faults are injected.
    pub(crate) faults_enabled: bool,
    /// The number of completed futures.
    pub(crate) finished: u64,
    pub(crate) invariants: InvariantChecker,
    pub(crate) env: Env,
    pub(crate) router: Router,
    executions: Arc<Mutex<Executions>>,
    pub(crate) workers: u64,
    steps: u64,
    counts: BTreeMap<&'static str, u64>,
    log: Option<Vec<String>>,
}

impl Simulation {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let fakes = Fakes::new();
        fakes.gate.interleave();
        let percent = [0, 1, 1, 2, 5][rng.usize(..5)];
        let mut gate_rng = Rng::with_seed(rng.u64(..));
        fakes.gate.fail(move |_, _| {
            let point = if gate_rng.bool() { FaultPoint::Before } else { FaultPoint::After };
            (gate_rng.u32(..100) < percent).then_some(point)
        });
        let script_seed = rng.u64(..);
        fakes.shell.script_by_default(move |job, _| script(script_seed, job));
        let executions = Arc::new(Mutex::new(Executions::new(rng.u64(..))));
        let resuming = executions.clone();
        fakes.workflow.resume_with(move |token, answer| resuming.lock().resume(token, answer));
        let has_links = rng.f64() < 0.5;
        if has_links {
            fakes.shell.post_requests();
        }
        let env = env(&fakes, &mut rng, has_links);
        Self {
            router: handlers::http::router(scoped(&env, function("api"))),
            sweep_at: fakes.now() + Duration::from_mins(1),
            env,
            executions,
            rng,
            fakes,
            messages: Vec::new(),
            in_flight: Vec::new(),
            said: Vec::new(),
            users: Users::default(),
            faults_enabled: true,
            finished: 0,
            invariants: InvariantChecker::default(),
            workers: 0,
            steps: 0,
            counts: BTreeMap::new(),
            log: trace.then(Vec::new),
        }
    }

    /// Does one random thing.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        match self.rng.usize(..1000) {
            0..50 if self.in_flight.len() < MAX_IN_FLIGHT => {
                // Several requests at once race.
                for _ in 0..1 + self.rng.usize(..3) {
                    self.begin_request();
                }
            }
            50..140 if self.in_flight.len() < MAX_IN_FLIGHT => drop(self.deliver_one()),
            140..230 if self.in_flight.len() < MAX_IN_FLIGHT => self.step_some_execution(),
            230..290 => self.change_a_task(),
            290..350 => self.pass_time(),
            350..362 => self.kill_a_worker(),
            362..372 => self.inject_fault(),
            372..384 => self.disturb_messages(),
            384..385 => self.crash(),
            385..390 => self.begin_sweep(),
            394..500 => self.disturb_links(),
            390..394 if !self.in_flight.is_empty() => {
                let at = self.rng.usize(..self.in_flight.len());
                self.in_flight[at].paused_until = self.steps + self.rng.usize(..MAX_PAUSE) as u64;
            }
            _ if !self.in_flight.is_empty() => self.poll_some(),
            _ => {}
        }
        self.collect();
    }

    fn poll_some(&mut self) {
        let at = self.rng.usize(..self.in_flight.len());
        if self.in_flight[at].paused_until > self.steps {
            return;
        }
        for _ in 0..1 + self.rng.usize(..MAX_POLLS) {
            // A completed future is replaced by another one, or by none.
            if at < self.in_flight.len() {
                self.poll(at);
            }
        }
    }

    /// Polls this future once, and checks what it wrote.
    pub(crate) fn poll(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let future = &mut self.in_flight[at].future;
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(completion)) => {
                let work = self.in_flight.swap_remove(at);
                self.finished += 1;
                self.finish(work.purpose, completion);
            }
            Err(panic) => {
                let work = self.in_flight.swap_remove(at);
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let what =
                    format!("{:?} panicked: {}", work.purpose, text.unwrap_or("without a message"));
                self.violate(Violation::new(Invariant::NothingPanics, Vec::new(), what));
            }
        }
        self.check_changes();
        self.collect();
    }

    /// Checks the latest changes.
    fn check_changes(&mut self) {
        for change in self.fakes.store.take_history() {
            self.note(|| brief(&change));
            self.count("records written");
            if let Err(violation) = self.invariants.check(&self.fakes, change) {
                self.violate(violation);
            }
        }
        if let Err(violation) = InvariantChecker::check_shells(&self.fakes) {
            self.violate(violation);
        }
    }

    pub(crate) fn executions(&self) -> MutexGuard<'_, Executions> {
        self.executions.lock()
    }

    /// Records a violation. Only the first one is kept: later ones may be its consequences.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.invariants.violation.get_or_insert(violation);
    }

    pub(crate) const fn is_violated(&self) -> bool {
        self.invariants.violation.is_some()
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>6} {} {}", self.steps, self.fakes.now(), line()));
        }
    }

    pub(crate) fn end(mut self) -> Ran {
        for read in self.fakes.store.all_sessions() {
            self.count(read.value.reason().map_or("sessions left", Reason::name));
        }
        for read in self.fakes.store.all_jobs() {
            let (common, status) = (read.value.common(), read.value.status());
            if read.value.attempt() > 1 {
                self.count("jobs taken over");
            }
            self.count(match common.work {
                Work::Execute(_) => status.name(),
                Work::Start => "start jobs",
                Work::Stop => "stop jobs",
            });
        }
        let log = self.log.unwrap_or_default();
        Ran { steps: self.steps, counts: self.counts, violation: self.invariants.violation, log }
    }
}

fn env(fakes: &Fakes, rng: &mut Rng, has_links: bool) -> Env {
    let warm = if rng.f64() < 0.4 { vec![(kind(), 2)] } else { Vec::new() };
    let hold = if rng.f64() < 0.5 { Duration::from_secs(20) } else { Duration::from_mins(15) };
    let policy = Policy {
        max_active_sessions: QUOTA,
        refused_networks: [(Network::Egress, "there is none".into())].into(),
        retention: Duration::from_hours(24 * 365),
        worker_hold: hold,
        worker_visit: if rng.f64() < 0.5 { Duration::from_millis(300) } else { hold },
        hand_on_delay: Duration::from_secs(rng.usize(..3) as u64),
        hand_on_delay_max: Duration::from_secs(if rng.f64() < 0.5 { 30 } else { 0 }),
        warm,
        warm_max_age: Duration::from_mins(10),
        claims_by_message: rng.f64() < 0.5,
        posts_commands: has_links && rng.f64() < 0.7,
        ..Policy::default()
    };
    // As on one machine, and as on AWS.
    let is_one_process = !policy.claims_by_message && !policy.posts_commands;
    let claims = (is_one_process && rng.f64() < 0.8).then(Arc::default);
    if !is_one_process && rng.f64() < 0.7 {
        fakes.store.hide_due_jobs();
    }
    Env { claims, ..testkit::env_of!(Env, fakes, policy) }
}

/// The function of this name, in a deployment that runs the handlers apart from each other.
pub(crate) fn function(name: &str) -> &'static Function {
    Function::named(name).expect("the list has every function")
}

/// The ports of a function. A use that the function does not list panics, which is a violation.
pub(crate) fn scoped(env: &Env, function: &'static Function) -> Env {
    let panics: OnRefusal = |error| panic!("{error}");
    Env {
        queue: Arc::new(Scoped::new(function, Some(env.queue.clone()), panics)),
        workflow: Arc::new(Scoped::new(function, Some(env.workflow.clone()), panics)),
        compute: Arc::new(Scoped::new(function, Some(env.compute.clone()), panics)),
        shell: Arc::new(Scoped::new(function, Some(env.shell.clone()), panics)),
        webhooks: Arc::new(Scoped::new(function, Some(env.webhooks.clone()), panics)),
        ..env.clone()
    }
}
