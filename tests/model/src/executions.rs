//! The executions of the state machine: the real interpreter with the real definition.

use std::collections::BTreeMap;

use asl::{Execution, Host, Invocation, Machine, Millis, Outcome, Step, TaskRef, execution_of};
use domain::{
    SessionId, Timestamp,
    ports::{Answer, Resume},
};
use fastrand::Rng;
use serde_json::{Value, json};

const DEFINITION: &str = include_str!("../../../statemachine/session.asl.json");

/// The executions that have not ended. Each is stored as text with its previous version, because a
/// crash may lose the last step.
#[derive(Debug)]
pub struct Executions {
    machine: Machine,
    jitter: Jitter,
    live: BTreeMap<SessionId, Live>,
}

#[derive(Debug)]
struct Live {
    current: Execution,
    previous: String,
}

/// The interpreter's source of random numbers.
#[derive(Debug)]
struct Jitter(Rng);

impl Host for Jitter {
    fn random(&mut self) -> u64 {
        self.0.u64(..)
    }
}

/// What a step of an execution asks its driver to do.
#[derive(Debug)]
pub enum Action {
    Invoke(Invocation),
    /// Close the session: its execution failed with this error.
    CloseSession(String),
    /// Nothing: the execution waits, or has succeeded.
    Wait,
}

impl Executions {
    /// No executions; the seed is for the jitter of retries.
    pub fn new(seed: u64) -> Self {
        let machine = Machine::parse(&handlers::Step::fill_in(DEFINITION))
            .expect("a scenario parses the definition");
        Self { machine, jitter: Jitter(Rng::with_seed(seed)), live: BTreeMap::new() }
    }

    /// Starts the execution of a session.
    pub fn start(&mut self, session: SessionId, now: Timestamp) {
        let input = json!({"sessionId": session});
        let current = Execution::start(&self.machine, session.to_string(), input, millis(now));
        let previous = text(&current);
        self.live.insert(session, Live { current, previous });
    }

    /// The sessions whose execution has not ended.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    /// Resumes the execution that waits with this token.
    pub fn resume(&mut self, token: &str, answer: Answer<'_>) -> Resume {
        let session = execution_of(token).and_then(|name| name.parse().ok());
        let live = session.and_then(|session: SessionId| self.live.get_mut(&session));
        let result = match answer {
            Answer::Output(output) => {
                Ok(serde_json::from_str(output).expect("a handler writes JSON"))
            }
            Answer::Error(name) => Err(asl::Failure::new(name, "")),
        };
        let answered = live.map(|live| live.current.answered(token, result));
        if matches!(answered, Some(Ok(()))) { Resume::Resumed } else { Resume::NotWaiting }
    }

    /// Steps the execution of a session.
    pub fn step(&mut self, session: SessionId, now: Timestamp) -> Action {
        let Some(live) = self.live.get_mut(&session) else { return Action::Wait };
        let previous = text(&live.current);
        // The step continues from the stored text: no state may live in memory only.
        live.current = serde_json::from_str(&previous).expect("an execution reads back");
        live.previous = previous;
        match live.current.step(&self.machine, millis(now), &mut self.jitter) {
            Step::Invoke(call) => Action::Invoke(call),
            Step::AwaitToken { .. } | Step::Sleep { .. } => Action::Wait,
            Step::Done(outcome) => {
                self.live.remove(&session);
                match outcome {
                    Outcome::Succeeded { .. } => Action::Wait,
                    Outcome::Failed(failure) => {
                        Action::CloseSession(failure.error_name().to_owned())
                    }
                    Outcome::TimedOut => Action::CloseSession("States.Timeout".into()),
                }
            }
        }
    }

    /// Gives the result of an invocation to its execution, which drops a late result.
    pub fn returned(&mut self, task: &TaskRef, result: Result<Value, asl::Failure>) {
        let session = task.execution.parse::<SessionId>().expect("named after its session");
        if let Some(live) = self.live.get_mut(&session) {
            let _late = live.current.returned(task, result);
        }
    }

    /// Simulates a crash of the process: each execution may fall back to its previous version.
    pub fn crash(&mut self, rng: &mut Rng) {
        for live in self.live.values_mut() {
            if rng.bool() {
                live.current = serde_json::from_str(&live.previous).expect("it reads back");
            }
        }
    }
}

fn text(execution: &Execution) -> String {
    serde_json::to_string(execution).expect("an execution is plain data")
}

fn millis(at: Timestamp) -> Millis {
    Millis(at.millis())
}
