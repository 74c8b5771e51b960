//! A definition, parsed and checked.

mod check;
pub(crate) mod fields;
mod flow;
mod parse;
mod states;
mod unique;

use crate::choice::Rule;
use crate::path::Path;
use crate::retry::{Catcher, Retrier};
use crate::template::{Expression, Template};
use crate::{LoadError, Millis};
pub(crate) use flow::{Flow, check_size, place};
use std::collections::BTreeMap;

/// The largest number of seconds that a definition may name, and a task's timeout if it names none.
pub(crate) const MAX_SECONDS: u64 = 99_999_999;

/// A state machine: parsed, checked, and ready to run.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) name: String,
    pub(crate) start_at: String,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) states: BTreeMap<String, State>,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) kind: Kind,
    pub(crate) flow: Flow,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Task(Box<Task>),
    Choice { rules: Vec<Rule>, default: Option<String> },
    Wait { until: Until, next: Next },
    Pass { result: Option<serde_json::Value>, next: Next },
    Succeed,
    Fail { error: Option<Text>, cause: Option<Text> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    State(String),
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) resource: Resource,
    pub(crate) wait_for_token: bool,
    pub(crate) timeout: Seconds,
    pub(crate) heartbeat: Option<Seconds>,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<Catcher>,
    pub(crate) next: Next,
}

#[derive(Clone, Debug)]
pub(crate) enum Resource {
    /// The `Resource` string itself; it gets the state's effective input.
    Named(String),
    /// The optimized Lambda integration: `Parameters` says which function gets which payload.
    Lambda { function: Template, payload: Option<Template> },
}

#[derive(Clone, Debug)]
pub(crate) enum Seconds {
    Fixed(u64),
    Path { field: &'static str, path: Path },
}

#[derive(Clone, Debug)]
pub(crate) enum Until {
    Seconds(Seconds),
    Timestamp(Millis),
    TimestampPath(Path),
}

#[derive(Clone, Debug)]
pub(crate) enum Text {
    Fixed(String),
    Computed { field: &'static str, expression: Expression },
}

impl Machine {
    /// Parses and checks a definition.
    ///
    /// # Errors
    /// The first thing that is wrong or not supported, with its state and field.
    pub fn parse(json: &str) -> Result<Self, LoadError> {
        parse::machine(json)
    }

    /// Gives the machine the name that runs see as `$$.StateMachine.Name`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the Task states call, in the order of the states' names: `Resource`, or the fixed
    /// `FunctionName` where the resource is `arn:aws:states:::lambda:invoke`.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.states.values().filter_map(|state| match &state.kind {
            Kind::Task(task) => task.resource.name(),
            Kind::Choice { .. } | Kind::Wait { .. } | Kind::Pass { .. } => None,
            Kind::Succeed | Kind::Fail { .. } => None,
        })
    }
}

impl Resource {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Lambda { function: Template::Constant(name), .. } => name.as_str(),
            Self::Lambda { .. } => None,
        }
    }
}

impl State {
    /// The states that may follow this one.
    pub(crate) fn targets(&self) -> Vec<&str> {
        fn of(next: &Next) -> Vec<&str> {
            match next {
                Next::State(name) => vec![name],
                Next::End => Vec::new(),
            }
        }
        match &self.kind {
            Kind::Task(task) => {
                let mut targets = of(&task.next);
                targets.extend(task.catch.iter().map(|catcher| catcher.next.as_str()));
                targets
            }
            Kind::Choice { rules, default } => {
                let rules = rules.iter().map(|rule| rule.next.as_str());
                rules.chain(default.as_deref()).collect()
            }
            Kind::Wait { next, .. } | Kind::Pass { next, .. } => of(next),
            Kind::Succeed | Kind::Fail { .. } => Vec::new(),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        match &self.kind {
            Kind::Task(task) => task.next == Next::End,
            Kind::Wait { next, .. } | Kind::Pass { next, .. } => *next == Next::End,
            Kind::Succeed | Kind::Fail { .. } => true,
            Kind::Choice { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
