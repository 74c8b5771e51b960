//! Whole runs with virtual time. `Driver` plays the driver; the modules below hold the cases.

mod data;
mod errors;
mod resume;
mod session;
mod timing;

use super::{Execution, Host, Invocation, Outcome, Step};
use crate::{Event, Failure, Machine, Millis, What};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// What a task does in one attempt.
#[derive(Clone, Debug)]
enum Act {
    Output(Value),
    Error(&'static str),
    Timeout,
}

/// Runs a machine: answers tasks from a list, moves the clock, keeps the history.
struct Driver {
    machine: Machine,
    answers: HashMap<String, VecDeque<Act>>,
    history: History,
    invocations: Vec<Invocation>,
    now: Millis,
    /// Store and read back the execution, and ask for each step twice.
    distrust: bool,
}

#[derive(Default)]
struct History {
    events: Vec<Event>,
    dice: u64,
}

impl Host for History {
    fn random(&mut self) -> u64 {
        self.dice
    }

    fn record(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl Driver {
    fn new(definition: &Value) -> Self {
        Self {
            machine: Machine::parse(&definition.to_string()).unwrap(),
            answers: HashMap::new(),
            history: History { events: Vec::new(), dice: u64::MAX },
            invocations: Vec::new(),
            now: Millis(0),
            distrust: false,
        }
    }

    fn answer(mut self, state: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        self.answers.entry(state.to_owned()).or_default().extend(acts);
        self
    }

    fn with_dice(mut self, dice: u64) -> Self {
        self.history.dice = dice;
        self
    }

    fn distrustful(mut self) -> Self {
        self.distrust = true;
        self
    }

    fn run(&mut self, input: Value) -> Outcome {
        let mut execution = Execution::start(&self.machine, "run", input, self.now);
        loop {
            let step = self.step(&mut execution);
            match step {
                Step::Invoke(invocation) => self.act(&mut execution, &invocation),
                Step::AwaitToken { until } | Step::Sleep { until } => self.now = until,
                Step::Done(outcome) => return outcome,
            }
        }
    }

    fn step(&mut self, execution: &mut Execution) -> Step {
        let step = execution.step(&self.machine, self.now, &mut self.history);
        if self.distrust {
            let stored = serde_json::to_string(execution).unwrap();
            *execution = serde_json::from_str(&stored).unwrap();
            let before = self.history.events.len();
            assert_eq!(execution.step(&self.machine, self.now, &mut self.history), step);
            assert_eq!(self.history.events.len(), before, "a repeated step adds no history");
        }
        step
    }

    fn act(&mut self, execution: &mut Execution, invocation: &Invocation) {
        self.invocations.push(invocation.clone());
        let state = &invocation.task.state;
        let act = self.answers.get_mut(state).and_then(VecDeque::pop_front);
        let result = match act.unwrap_or_else(|| panic!("no answer left for {state}")) {
            Act::Timeout => {
                self.now = invocation.until;
                return;
            }
            Act::Output(output) => Ok(output),
            Act::Error(error) => Err(Failure::new(error, "why")),
        };
        match &invocation.token {
            Some(token) => execution.answered(token, result).unwrap(),
            None => execution.returned(&invocation.task, result).unwrap(),
        }
    }

    /// The states entered, in order.
    fn states(&self) -> Vec<&str> {
        let entered = |event: &&Event| matches!(event.what, What::StateEntered { .. });
        self.history.events.iter().filter(entered).map(|event| event.state.as_str()).collect()
    }

    /// The history as `<ms> <state> <event>`.
    fn lines(&self) -> Vec<String> {
        let line = |e: &Event| format!("{} {} {}", e.at.0, e.state, e.what.name());
        self.history.events.iter().map(line).collect()
    }

    /// What the last call of a resource got.
    fn last_input(&self) -> &Value {
        &self.invocations.last().unwrap().input
    }
}

/// A machine of one state that ends.
fn single(mut state: Value) -> Value {
    if !["Succeed", "Fail"].contains(&state["Type"].as_str().unwrap()) {
        state["End"] = true.into();
    }
    json!({ "StartAt": "S", "States": { "S": state } })
}

fn output(value: Value) -> Outcome {
    Outcome::Succeeded { output: value }
}

/// The error name that ended the run.
fn error(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(failure) => &failure.error,
        Outcome::Succeeded { .. } => "succeeded",
        Outcome::TimedOut => "timed out",
    }
}
