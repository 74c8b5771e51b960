//! A state machine definition, parsed and validated.

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
pub(crate) use flow::{Flow, apply_result_path};
use std::collections::BTreeMap;

/// The maximum number of seconds in a definition, and the default timeout of a task.
pub(crate) const MAX_SECONDS: u64 = 99_999_999;

/// A state machine: parsed, validated, and ready to run.
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
    Choice { rules: Vec<Rule>, default: Option<Next> },
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
    /// The `Resource` string itself; the resource receives the state's effective input.
    Named(String),
    /// The optimized Lambda integration: `Parameters` names the function and its payload.
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
    /// Parses and validates a definition.
    ///
    /// # Errors
    /// The definition is invalid or uses an unsupported feature; the error names state and field.
    pub fn parse(json: &str) -> Result<Self, LoadError> {
        parse::machine(json)
    }

    /// Sets the name that executions see as `$$.StateMachine.Name`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The ARN that executions see as `$$.StateMachine.Id`. Account and region are placeholders.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:states:us-east-1:000000000000:stateMachine:{}", self.name)
    }

    /// The ARN that an execution sees as `$$.Execution.Id`.
    pub(crate) fn execution_arn(&self, execution: &str) -> String {
        format!("arn:aws:states:us-east-1:000000000000:execution:{}:{execution}", self.name)
    }

    /// The ARN that executions see as `$$.Execution.RoleArn`.
    pub(crate) fn role_arn(&self) -> String {
        format!("arn:aws:iam::000000000000:role/{}", self.name)
    }

    /// The resources that the Task states call, ordered by state name: `Resource`, or the constant
    /// `FunctionName` if the resource is `arn:aws:states:::lambda:invoke`.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.states.values().filter_map(|state| match &state.kind {
            Kind::Task(task) => task.resource.name(),
            Kind::Choice { .. } | Kind::Wait { .. } | Kind::Pass { .. } => None,
            Kind::Succeed | Kind::Fail { .. } => None,
        })
    }
}

impl Next {
    /// The name of the next state; `None` at the end of the execution.
    fn state(&self) -> Option<&str> {
        match self {
            Self::State(name) => Some(name),
            Self::End => None,
        }
    }
}

impl Resource {
    /// The name that AWS reports if the task's result exceeds a limit: the resource type of a
    /// service integration, or the resource itself.
    pub(crate) fn reported_name(&self) -> &str {
        let Self::Named(name) = self else { return "lambda" };
        let Some(service) = name.strip_prefix("arn:aws:states:::") else { return name };
        service.rsplit_once(':').map_or(service, |(service, _)| service)
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Lambda { function: Template::Constant(name), .. } => name.as_str(),
            Self::Lambda { .. } => None,
        }
    }
}

impl State {
    /// The names of the states that may follow this one.
    pub(crate) fn targets(&self) -> Vec<&str> {
        let all: Vec<&Next> = match &self.kind {
            Kind::Task(task) => {
                let catch = task.catch.iter().map(|catcher| &catcher.next);
                std::iter::once(&task.next).chain(catch).collect()
            }
            Kind::Choice { rules, default } => {
                rules.iter().map(|rule| &rule.next).chain(default).collect()
            }
            Kind::Wait { next, .. } | Kind::Pass { next, .. } => vec![next],
            Kind::Succeed | Kind::Fail { .. } => Vec::new(),
        };
        all.into_iter().filter_map(Next::state).collect()
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
