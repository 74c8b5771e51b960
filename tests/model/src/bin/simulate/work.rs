//! Work begins, and comes to its end: messages, states of executions, requests.

use std::time::Duration;

use axum::{body::Body, http::Request};
use domain::{SessionId, message::Message};
use handlers::{Code, Env, HandlerError, Step, http::Caller};
use model::Want;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    hands::{Done, Hand, Mail, Why},
    laws::{Law, Violation},
    world::{World, function, scoped},
};

/// How often a message is tried.
const TRIES: u32 = 6;

/// A call of a handler.
enum Call {
    Step(Step, Value),
    Message(Message),
    Sweep,
}

impl Call {
    /// The function that runs the handler.
    fn function(&self) -> &'static str {
        match self {
            Self::Step(step, _) => step.name(),
            Self::Message(message) => message.lane().name(),
            Self::Sweep => handlers::SWEEP,
        }
    }

    async fn run(self, env: &Env) -> Result<Value, HandlerError> {
        match self {
            Self::Step(step, input) => step.run(env, input).await,
            Self::Message(message) => handlers::handle(env, message).await.map(|()| Value::Null),
            Self::Sweep => handlers::sweep(env).await.map(|_| Value::Null),
        }
    }
}

impl World {
    pub(crate) fn finish(&mut self, why: Why, done: Done) {
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
        let call = Call::Message(mail.message.clone());
        self.begin(Why::Message(mail), call);
        true
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.count("sweeps");
        self.begin(Why::Sweep, Call::Sweep);
    }

    pub(crate) fn step_some_execution(&mut self) {
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
                self.begin(Why::Close(session), Call::Step(Step::CloseSession, input));
            }
            Want::Call(call) => {
                let busy =
                    |hand: &Hand| matches!(&hand.why, Why::State(task) if *task == call.task);
                if !self.hands.iter().any(busy) {
                    self.count("states entered");
                    let step = call.resource.parse().expect("a test of its own checks the names");
                    self.begin(Why::State(call.task), Call::Step(step, call.input));
                }
            }
        }
    }

    fn begin(&mut self, why: Why, call: Call) {
        self.note(|| format!("begins: {why:?}"));
        self.workers += 1;
        let mut env = scoped(&self.env, function(call.function()));
        env.worker = format!("w{}", self.workers).into();
        let future = async move { Done::Handler(call.run(&env).await) };
        self.hands.push(Hand { why, asleep_until: 0, future: Box::pin(future) });
    }

    pub(crate) fn begin_request(&mut self) {
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
        self.hands.push(Hand {
            why: Why::Request(number),
            asleep_until: 0,
            future: Box::pin(future),
        });
    }
}
