//! The world: the fakes, all that is under way, and the dice.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use domain::{SessionId, Timestamp, job::Work, session::Reason, size::Network};
use handlers::{Code, Env, Handler, Policy, http::Caller};
use serde_json::{Value, json};
use testkit::{Dice, Fakes, When, kind};
use tower::ServiceExt as _;

use crate::{
    Ran,
    hands::{Done, Hand, Mail, Why},
    laws::{Law, Laws, Violation},
    log::brief,
    machine::{Executions, Want},
    nature::script,
    users::Users,
};

/// How much is under way at once.
const MANY: usize = 24;
/// How often one hand is polled before it is another's turn.
const BURST: usize = 12;
/// How often a message is tried.
const TRIES: u32 = 6;
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
    env: Env,
    router: Router,
    executions: Arc<Mutex<Executions>>,
    workers: u64,
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
            router: handlers::http::router(env.clone()),
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
            _ if !self.hands.is_empty() => {
                let at = self.dice.below(self.hands.len());
                for _ in 0..1 + self.dice.below(BURST) {
                    // Whoever is done makes room for another.
                    if at < self.hands.len() {
                        self.poll(at);
                    }
                }
            }
            _ => {}
        }
        self.collect();
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

    fn finish(&mut self, why: Why, done: Done) {
        match (why, done) {
            (Why::Request(number), Done::Http { status, body }) => {
                self.note(|| format!("answer to request {number}: {status} {body}"));
                if let Some(violation) = self.users.hear(number, status, &body) {
                    self.break_law(violation);
                }
            }
            (Why::Message(mail), Done::Handler(Err(failure))) => {
                self.note(|| format!("failed: {:?}: {failure}", mail.message));
                if failure.code() == Code::BadInput {
                    let what = format!("{:?} is never understood: {failure}", mail.message);
                    self.break_law(Violation::new(Law::Answers, Vec::new(), what));
                }
                self.count("messages failed");
                self.come_again(mail);
            }
            (Why::State(task), Done::Handler(result)) => {
                self.note(|| {
                    format!("state of {}: {} gives {result:?}", task.execution, task.state)
                });
                let result = result
                    .map_err(|error| asl::Failure::new(error.code().name(), error.to_string()));
                self.executions().returned(&task, result);
            }
            (Why::Close(session), Done::Handler(Err(_))) => {
                self.note(|| format!("closing {session} failed; left to the sweep"));
            }
            (_, Done::Handler(_) | Done::Http { .. }) => {}
        }
    }

    /// A message that failed comes again later, but not for ever.
    pub(crate) fn come_again(&mut self, mut mail: Mail) {
        mail.tries += 1;
        if mail.tries < TRIES {
            mail.due = self.fakes.now() + Duration::from_secs(1 << mail.tries);
            self.mail.push(mail);
        } else {
            self.count("messages given up");
        }
    }

    /// Begins to work off one message that is due; false if there is none.
    pub(crate) fn deliver_one(&mut self) -> bool {
        let now = self.fakes.now();
        let due: Vec<usize> = (0..self.mail.len()).filter(|at| self.mail[*at].due <= now).collect();
        let Some(at) = self.dice.pick(&due).copied() else { return false };
        let mail = self.mail.swap_remove(at);
        self.count("messages delivered");
        let (handler, input) = Handler::of_message(&mail.message);
        self.begin(Why::Message(mail), handler, input);
        true
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.count("sweeps");
        self.begin(Why::Sweep, Handler::Sweep, json!({}));
    }

    fn step_some_execution(&mut self) {
        let sessions = self.executions().sessions();
        if let Some(session) = self.dice.pick(&sessions).copied() {
            self.step_execution(session);
        }
    }

    pub(crate) fn step_execution(&mut self, session: SessionId) {
        let now = self.fakes.now();
        let want = self.executions().step(session, now);
        match want {
            Want::Nothing => {}
            Want::Close(error) => {
                self.count("executions failed");
                let input = json!({"sessionId": session, "error": error});
                self.begin(Why::Close(session), Handler::CloseSession, input);
            }
            Want::Call(call) => {
                let busy =
                    |hand: &Hand| matches!(&hand.why, Why::State(task) if *task == call.task);
                if !self.hands.iter().any(busy) {
                    self.count("states entered");
                    let handler =
                        call.resource.parse().expect("a test of its own checks the names");
                    self.begin(Why::State(call.task), handler, call.input);
                }
            }
        }
    }

    fn begin(&mut self, why: Why, handler: Handler, input: Value) {
        self.note(|| format!("begins: {why:?}"));
        self.workers += 1;
        let mut env = self.env.clone();
        env.worker = format!("w{}", self.workers).into();
        let future = async move { Done::Handler(handler.invoke(&env, input).await) };
        self.hands.push(Hand { why, future: Box::pin(future) });
    }

    fn begin_request(&mut self) {
        let number = self.users.think(&mut self.dice);
        let wish = self.users.requests[number].clone();
        self.count("requests");
        self.note(|| format!("request {number}: {wish:?}"));
        let mut request = Request::builder().method(wish.method).uri(&wish.path);
        if let Some(key) = &wish.key {
            request = request.header("Idempotency-Key", key);
        }
        let body = wish.body.map(|body| body.to_string());
        let request = request
            .header("Content-Type", "application/json")
            .extension(Caller(wish.user))
            .body(body.map_or_else(Body::empty, Body::from))
            .expect("a request of known parts");
        let router = self.router.clone();
        let future = async move {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            let body = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
            Done::Http { status, body }
        };
        self.hands.push(Hand { why: Why::Request(number), future: Box::pin(future) });
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
            let (head, status) = (read.value.head(), read.value.status());
            if read.value.attempt() > 1 {
                self.count("jobs taken over");
            }
            self.count(match head.work {
                Work::Execute(_) => status.name(),
                Work::Start => "start jobs",
                Work::Stop => "stop jobs",
            });
        }
        let log = self.log.unwrap_or_default();
        Ran { steps: self.steps, counts: self.counts, violation: self.laws.broken, log }
    }
}

fn env(fakes: &Fakes, dice: &mut Dice) -> Env {
    let warm = if dice.chance(40) { vec![(kind(), 2)] } else { Vec::new() };
    let hold = if dice.chance(50) { Duration::from_secs(20) } else { Duration::from_mins(15) };
    let policy = Policy {
        max_active_sessions: QUOTA,
        default_network: Network::None,
        egress: Err("there is none".into()),
        images: vec!["default".into()],
        webhook_allow_private: false,
        streaming: true,
        retention: Duration::from_hours(24 * 365),
        worker_hold: hold,
        hand_on_delay: Duration::from_secs(dice.below(3) as u64),
        warm,
        warm_max_age: Duration::from_mins(10),
    };
    Env {
        store: fakes.store.clone(),
        queue: fakes.queue.clone(),
        workflow: fakes.workflow.clone(),
        compute: fakes.compute.clone(),
        shell: fakes.shell.clone(),
        webhooks: fakes.webhooks.clone(),
        changes: fakes.changes.clone(),
        clock: fakes.clock.clone(),
        ids: fakes.ids.clone(),
        policy: Arc::new(policy),
        worker: "w".into(),
    }
}
