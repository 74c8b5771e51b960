//! The start and the end of work: messages, states of executions, requests.

use std::time::Duration;

use axum::{body::Body, http::Request};
use domain::{SessionId, message::Message};
use handlers::{Code, Env, HandlerError, Step, http::Caller};
use model::Action;
use serde_json::{Value, json};
use testkit::Invariant;
use tower::ServiceExt as _;

use crate::{
    in_flight::{Completion, InFlight, PendingMessage, Purpose},
    invariants::Violation,
    simulation::{Simulation, function, scoped},
};

/// Delivery attempts per message.
const MAX_ATTEMPTS: u32 = 6;

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

impl Simulation {
    pub(crate) fn finish(&mut self, purpose: Purpose, completion: Completion) {
        match (purpose, completion) {
            (Purpose::Request(number), Completion::Http { status, body }) => {
                self.note(|| format!("answer to request {number}: {status} {body}"));
                if let Some(violation) = self.users.check_response(number, status, &body) {
                    self.violate(violation);
                }
            }
            (Purpose::Message(pending), Completion::Handler(Err(failure))) => {
                self.note(|| format!("failed: {:?}: {failure}", pending.message));
                if failure.code() == Code::BadInput {
                    let what = format!("{:?} is never understood: {failure}", pending.message);
                    self.violate(Violation::new(
                        Invariant::ResponsesAreDocumented,
                        Vec::new(),
                        what,
                    ));
                }
                self.count("messages failed");
                self.retry_later(pending);
            }
            (Purpose::State(task), Completion::Handler(result)) => {
                self.note(|| {
                    format!("state of {}: {} gives {result:?}", task.execution, task.state)
                });
                let result = result
                    .map_err(|error| asl::Failure::new(error.code().name(), error.to_string()));
                self.executions().returned(&task, result);
            }
            (Purpose::CloseSession(session), Completion::Handler(Err(_))) => {
                self.note(|| format!("closing {session} failed; left to the sweep"));
            }
            (Purpose::Report(task, job), Completion::Reported(result)) => {
                self.answer_report(&task, job, result);
            }
            (_, Completion::Handler(_) | Completion::Http { .. } | Completion::Reported(_)) => {}
        }
    }

    /// Schedules another delivery of a message, up to the limit.
    pub(crate) fn retry_later(&mut self, mut pending: PendingMessage) {
        pending.attempts += 1;
        if pending.attempts < MAX_ATTEMPTS {
            pending.due = self.fakes.now() + Duration::from_secs(1 << pending.attempts);
            self.messages.push(pending);
        } else {
            self.count("messages dropped after all attempts");
        }
    }

    /// Starts the work of a random due message; false if no message is due.
    pub(crate) fn deliver_one(&mut self) -> bool {
        let now = self.fakes.now();
        let due: Vec<usize> =
            (0..self.messages.len()).filter(|at| self.messages[*at].due <= now).collect();
        let Some(at) = self.rng.choice(&due).copied() else { return false };
        let pending = self.messages.swap_remove(at);
        self.count("messages delivered");
        let call = Call::Message(pending.message.clone());
        self.begin(Purpose::Message(pending), call);
        true
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.count("sweeps");
        self.begin(Purpose::Sweep, Call::Sweep);
    }

    pub(crate) fn step_some_execution(&mut self) {
        let sessions = self.executions().sessions();
        if let Some(session) = self.rng.choice(&sessions).copied() {
            self.step_execution(session);
        }
    }

    pub(crate) fn step_execution(&mut self, session: SessionId) {
        let now = self.fakes.now();
        let action = self.executions().step(session, now);
        match action {
            Action::Wait => {}
            Action::CloseSession(error) => {
                self.count("executions failed");
                let input = json!({"sessionId": session, "error": error});
                self.begin(Purpose::CloseSession(session), Call::Step(Step::CloseSession, input));
            }
            Action::Invoke(call) => {
                let busy = |work: &InFlight| matches!(&work.purpose, Purpose::State(task) if *task == call.task);
                if !self.in_flight.iter().any(busy) {
                    self.count("states entered");
                    let step = call.resource.parse().expect("a scenario checks the names");
                    self.begin(Purpose::State(call.task), Call::Step(step, call.input));
                }
            }
        }
    }

    fn begin(&mut self, purpose: Purpose, call: Call) {
        self.note(|| format!("begins: {purpose:?}"));
        self.workers += 1;
        let mut env = scoped(&self.env, function(call.function()));
        env.worker = format!("w{}", self.workers).into();
        let future = async move { Completion::Handler(call.run(&env).await) };
        self.in_flight.push(InFlight { purpose, paused_until: 0, future: Box::pin(future) });
    }

    pub(crate) fn begin_request(&mut self) {
        let number = self.users.next_request(&mut self.rng);
        let asked = self.users.requests[number].clone();
        self.count("requests");
        self.note(|| format!("request {number}: {asked:?}"));
        let mut request = Request::builder().method(asked.method).uri(&asked.path);
        if let Some(key) = &asked.key {
            request = request.header("Idempotency-Key", key);
        }
        let body = asked.body.map(|body| body.to_string());
        let request = request
            .header("Content-Type", "application/json")
            .extension(Caller(asked.user))
            .body(body.map_or_else(Body::empty, Body::from))
            .expect("a request of known parts");
        let router = self.router.clone();
        let future = async move {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            let body = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
            Completion::Http { status, body }
        };
        self.in_flight.push(InFlight {
            purpose: Purpose::Request(number),
            paused_until: 0,
            future: Box::pin(future),
        });
    }
}
