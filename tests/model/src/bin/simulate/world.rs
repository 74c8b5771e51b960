//! The world: the fakes, all that is under way, and the dice.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::Router;
use domain::{Timestamp, job::Work, session::Reason, size::Network};
use handlers::{
    Env, Policy,
    permissions::{Function, OnRefusal, Scoped},
};
use model::Executions;
use testkit::{Dice, Fakes, When, kind};

use crate::{
    Ran,
    hands::{Hand, Mail},
    laws::{Law, Laws, Violation},
    log::brief,
    nature::script,
    users::Users,
};

/// How much is under way at once.
const MANY: usize = 24;
/// How often one hand is polled before it is another's turn.
const BURST: usize = 12;
/// How many steps one hand may sleep.
const LONG: usize = 600;
/// The quota of each user.
pub(crate) const QUOTA: u32 = 3;

pub(crate) struct World {
    pub(crate) fakes: Fakes,
    pub(crate) dice: Dice,
    pub(crate) mail: Vec<Mail>,
    pub(crate) hands: Vec<Hand>,
    pub(crate) users: Users,
    pub(crate) sweep_at: Timestamp,
    /// Whether things go wrong.
    pub(crate) stormy: bool,
    /// How much work came to its end.
    pub(crate) finished: u64,
    pub(crate) laws: Laws,
    pub(crate) env: Env,
    pub(crate) router: Router,
    executions: Arc<Mutex<Executions>>,
    pub(crate) workers: u64,
    steps: u64,
    counts: BTreeMap<&'static str, u64>,
    log: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let fakes = Fakes::new();
        fakes.gate.interleave();
        let percent = [0, 1, 1, 2, 5][dice.below(5)];
        let mut chance = Dice::new(dice.next());
        fakes.gate.fail(move |_, _| {
            let when = if chance.chance(50) { When::Before } else { When::After };
            (chance.below(1000) < percent * 10).then_some(when)
        });
        let casting = dice.next();
        fakes.shell.cast(move |job, _| script(casting, job));
        let executions = Arc::new(Mutex::new(Executions::new(dice.next())));
        let bells = executions.clone();
        fakes.workflow.answer_with(move |token, output| {
            bells.lock().unwrap_or_else(PoisonError::into_inner).ring(token, output)
        });
        let env = env(&fakes, &mut dice);
        Self {
            router: handlers::http::router(scoped(&env, function("api"))),
            sweep_at: fakes.now() + Duration::from_mins(1),
            env,
            executions,
            dice,
            fakes,
            mail: Vec::new(),
            hands: Vec::new(),
            users: Users::default(),
            stormy: true,
            finished: 0,
            laws: Laws::default(),
            workers: 0,
            steps: 0,
            counts: BTreeMap::new(),
            log: trace.then(Vec::new),
        }
    }

    /// One thing happens.
    pub(crate) fn turn(&mut self) {
        self.steps += 1;
        match self.dice.below(1000) {
            0..50 if self.hands.len() < MANY => {
                // Some come at once, and race.
                for _ in 0..1 + self.dice.below(3) {
                    self.begin_request();
                }
            }
            50..140 if self.hands.len() < MANY => drop(self.deliver_one()),
            140..230 if self.hands.len() < MANY => self.step_some_execution(),
            230..290 => self.move_a_task(),
            290..350 => self.pass_time(),
            350..362 => self.kill_a_worker(),
            362..372 => self.make_trouble(),
            372..384 => self.meddle_with_the_post(),
            384..385 => self.crash(),
            385..390 => self.begin_sweep(),
            390..394 if !self.hands.is_empty() => {
                let at = self.dice.below(self.hands.len());
                self.hands[at].asleep_until = self.steps + self.dice.below(LONG) as u64;
            }
            _ if !self.hands.is_empty() => self.poll_a_while(),
            _ => {}
        }
        self.collect();
    }

    fn poll_a_while(&mut self) {
        let at = self.dice.below(self.hands.len());
        if self.hands[at].asleep_until > self.steps {
            return;
        }
        for _ in 0..1 + self.dice.below(BURST) {
            // Whoever is done makes room for another.
            if at < self.hands.len() {
                self.poll(at);
            }
        }
    }

    /// Polls this hand once, and sees what that did.
    pub(crate) fn poll(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let future = &mut self.hands[at].future;
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(done)) => {
                let hand = self.hands.swap_remove(at);
                self.finished += 1;
                self.finish(hand.why, done);
            }
            Err(panic) => {
                let hand = self.hands.swap_remove(at);
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let what = format!("{:?} panicked: {}", hand.why, text.unwrap_or("no words"));
                self.break_law(Violation::new(Law::Panics, Vec::new(), what));
            }
        }
        self.watch();
        self.collect();
    }

    /// Holds what was just written to the laws.
    fn watch(&mut self) {
        for change in self.fakes.store.take_history() {
            self.note(|| brief(&change));
            self.count("records written");
            if let Err(violation) = self.laws.see(&self.fakes, change) {
                self.break_law(violation);
            }
        }
        if let Err(violation) = Laws::see_shells(&self.fakes) {
            self.break_law(violation);
        }
    }

    pub(crate) fn executions(&self) -> MutexGuard<'_, Executions> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first violation counts; what follows is its consequence.
    pub(crate) fn break_law(&mut self, violation: Violation) {
        self.laws.broken.get_or_insert(violation);
    }

    pub(crate) const fn is_broken(&self) -> bool {
        self.laws.broken.is_some()
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
        Ran { steps: self.steps, counts: self.counts, violation: self.laws.broken, log }
    }
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

fn env(fakes: &Fakes, dice: &mut Dice) -> Env {
    let warm = if dice.chance(40) { vec![(kind(), 2)] } else { Vec::new() };
    let hold = if dice.chance(50) { Duration::from_secs(20) } else { Duration::from_mins(15) };
    let policy = Policy {
        max_active_sessions: QUOTA,
        refused_networks: [(Network::Egress, "there is none".into())].into(),
        retention: Duration::from_hours(24 * 365),
        worker_hold: hold,
        hand_on_delay: Duration::from_secs(dice.below(3) as u64),
        warm,
        warm_max_age: Duration::from_mins(10),
        ..Policy::default()
    };
    testkit::env_of!(Env, fakes, policy)
}
