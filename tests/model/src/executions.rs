//! The executions, driven by the real interpreter with the real definition.

use std::collections::BTreeMap;

use asl::{Execution, Host, Invocation, Machine, Millis, Outcome, Step, TaskRef, execution_of};
use domain::{SessionId, Timestamp, ports::Resume};
use handlers::Handler;
use serde_json::{Value, json};
use testkit::Dice;

const DEFINITION: &str = include_str!("../../../statemachine/session.asl.json");

/// The executions that are not over. Each is plain data, and its version before is kept: a crash may
/// lose the last step.
#[derive(Debug)]
pub struct Executions {
    machine: Machine,
    chance: Chance,
    live: BTreeMap<SessionId, Live>,
}

#[derive(Debug)]
struct Live {
    now: Execution,
    before: String,
}

#[derive(Debug)]
struct Chance(Dice);

impl Host for Chance {
    fn random(&mut self) -> u64 {
        self.0.next()
    }
}

/// What an execution wants to be done.
#[derive(Debug)]
pub enum Want {
    Call(Invocation),
    /// It failed as a whole, with this error.
    Close(String),
    Nothing,
}

impl Executions {
    pub fn new(seed: u64) -> Self {
        let definition = Handler::ALL.iter().fold(DEFINITION.to_owned(), |text, handler| {
            text.replace(&format!("${{{handler:?}}}"), handler.name())
        });
        let machine = Machine::parse(&definition).expect("a test of its own parses it");
        Self { machine, chance: Chance(Dice::new(seed)), live: BTreeMap::new() }
    }

    pub fn start(&mut self, session: SessionId, now: Timestamp) {
        let input = json!({"sessionId": session});
        let now = Execution::start(&self.machine, session.to_string(), input, millis(now));
        let before = text(&now);
        self.live.insert(session, Live { now, before });
    }

    pub fn sessions(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    pub fn ring(&mut self, token: &str, output: &str) -> Resume {
        let session = execution_of(token).and_then(|name| name.parse().ok());
        let live = session.and_then(|session: SessionId| self.live.get_mut(&session));
        let output = serde_json::from_str(output).expect("a handler writes JSON");
        let answered = live.map(|live| live.now.answered(token, Ok(output)));
        if matches!(answered, Some(Ok(()))) { Resume::Resumed } else { Resume::Late }
    }

    pub fn step(&mut self, session: SessionId, now: Timestamp) -> Want {
        let Some(live) = self.live.get_mut(&session) else { return Want::Nothing };
        let before = text(&live.now);
        // What is stored is what goes on: nothing may live in memory only.
        live.now = serde_json::from_str(&before).expect("an execution reads back");
        live.before = before;
        match live.now.step(&self.machine, millis(now), &mut self.chance) {
            Step::Invoke(call) => Want::Call(call),
            Step::AwaitToken { .. } | Step::Sleep { .. } => Want::Nothing,
            Step::Done(outcome) => {
                self.live.remove(&session);
                match outcome {
                    Outcome::Succeeded { .. } => Want::Nothing,
                    Outcome::Failed(failure) => Want::Close(failure.error_name().to_owned()),
                    Outcome::TimedOut => Want::Close("States.Timeout".into()),
                }
            }
        }
    }

    /// An answer that comes late is dropped, as everywhere.
    pub fn returned(&mut self, task: &TaskRef, result: Result<Value, asl::Failure>) {
        let session = task.execution.parse::<SessionId>().expect("it is named after its session");
        if let Some(live) = self.live.get_mut(&session) {
            let _late = live.now.returned(task, result);
        }
    }

    /// The process died: each execution is as it was stored last, perhaps one step ago.
    pub fn crash(&mut self, dice: &mut Dice) {
        for live in self.live.values_mut() {
            if dice.chance(50) {
                live.now = serde_json::from_str(&live.before).expect("an execution reads back");
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
