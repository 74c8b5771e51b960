//! Whole executions with virtual time: a driver for tests, and the cases in the modules below.

mod data;
mod errors;
mod limits;
mod recorded;
mod resume;
mod session;
mod timing;

use super::{Execution, Host, Invocation, Outcome, Step};
use crate::{Event, EventKind, Failure, Machine, Millis};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// The scripted result of one attempt of a task.
#[derive(Clone, Debug)]
enum TaskResult {
    Output(Value),
    Error(&'static str),
    Failure(Failure),
    Timeout,
}

/// Runs a machine: answers tasks from a script, advances the clock, records the history.
struct Driver {
    machine: Machine,
    answers: HashMap<String, VecDeque<TaskResult>>,
    history: History,
    invocations: Vec<Invocation>,
    now: Millis,
    /// Whether to store and reload the execution after each step and to repeat the step.
    reload: bool,
    /// Whether a resource returns before the answer to its token arrives.
    submits: bool,
}

#[derive(Default)]
struct History {
    events: Vec<Event<'static>>,
    random: u64,
}

impl Host for History {
    fn random(&mut self) -> u64 {
        self.random
    }

    fn record(&mut self, event: Event<'_>) {
        self.events.push(event.into_owned());
    }
}

impl Driver {
    fn new(definition: &Value) -> Self {
        Self {
            machine: Machine::parse(&definition.to_string()).unwrap(),
            answers: HashMap::new(),
            history: History { events: Vec::new(), random: u64::MAX },
            invocations: Vec::new(),
            now: Millis(0),
            reload: false,
            submits: false,
        }
    }

    fn answer(mut self, state: &str, results: impl IntoIterator<Item = TaskResult>) -> Self {
        self.answers.entry(state.to_owned()).or_default().extend(results);
        self
    }

    fn with_random(mut self, random: u64) -> Self {
        self.history.random = random;
        self
    }

    fn reloading(mut self) -> Self {
        self.reload = true;
        self
    }

    fn run(&mut self, input: Value) -> Outcome {
        let mut execution = Execution::start(&self.machine, "run", input, self.now);
        loop {
            let step = self.step(&mut execution);
            match step {
                Step::Invoke(invocation) => self.invoke(&mut execution, &invocation),
                Step::AwaitToken { until } | Step::Sleep { until } => self.now = until,
                Step::Done(outcome) => return outcome,
            }
        }
    }

    fn step(&mut self, execution: &mut Execution) -> Step {
        let step = execution.step(&self.machine, self.now, &mut self.history);
        if self.reload {
            let stored = serde_json::to_string(execution).unwrap();
            *execution = serde_json::from_str(&stored).unwrap();
            let before = self.history.events.len();
            assert_eq!(execution.step(&self.machine, self.now, &mut self.history), step);
            assert_eq!(self.history.events.len(), before, "a repeated step adds no history");
        }
        step
    }

    fn invoke(&mut self, execution: &mut Execution, invocation: &Invocation) {
        self.invocations.push(invocation.clone());
        let state = &invocation.task.state;
        let scripted = self.answers.get_mut(state).and_then(VecDeque::pop_front);
        let result = match scripted.unwrap_or_else(|| panic!("no answer left for {state}")) {
            TaskResult::Timeout => {
                self.now = invocation.until;
                return;
            }
            TaskResult::Output(output) => Ok(output),
            TaskResult::Error(error) => Err(Failure::new(error, "why")),
            TaskResult::Failure(failure) => Err(failure),
        };
        if self.submits && invocation.token.is_some() {
            execution.returned(&invocation.task, Ok(Value::Null)).unwrap();
        }
        match &invocation.token {
            Some(token) => execution.answered(token, result).unwrap(),
            None => execution.returned(&invocation.task, result).unwrap(),
        }
    }

    /// The names of the entered states, in order.
    fn states(&self) -> Vec<&str> {
        let entered = |event: &&Event<'_>| matches!(event.kind, EventKind::StateEntered { .. });
        self.history.events.iter().filter(entered).map(|event| event.state.as_ref()).collect()
    }

    /// The history as `<ms> <state> <event>`.
    fn lines(&self) -> Vec<String> {
        let line = |e: &Event<'_>| format!("{} {} {}", e.at.0, e.state, e.kind.name());
        self.history.events.iter().map(line).collect()
    }

    /// The input of the last call of a resource.
    fn last_input(&self) -> &Value {
        &self.invocations.last().unwrap().input
    }
}

/// The definition of a machine with this single state.
fn single(mut state: Value) -> Value {
    if !["Succeed", "Fail"].contains(&state["Type"].as_str().unwrap()) {
        state["End"] = true.into();
    }
    json!({ "StartAt": "S", "States": { "S": state } })
}

fn output(value: Value) -> Outcome {
    Outcome::Succeeded { output: value }
}

/// The error name with which an execution ended.
fn error(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(failure) => failure.error_name(),
        Outcome::Succeeded { .. } => "succeeded",
        Outcome::TimedOut => "timed out",
    }
}
