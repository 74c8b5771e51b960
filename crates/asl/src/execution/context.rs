//! The context object of an execution (Developer Guide, "Accessing execution data from the Context
//! object").

use super::{Execution, Visit};
use crate::machine::{Kind, Machine};
use crate::scope::ContextObject;
use serde_json::{Value, json};
use std::cell::OnceCell;

/// The context object, built when it is first accessed because it contains a copy of the execution's
/// input.
pub(super) struct Context<'a> {
    execution: &'a Execution,
    machine: &'a Machine,
    visit: &'a Visit,
    token: Option<&'a str>,
    value: OnceCell<Value>,
}

impl ContextObject for Context<'_> {
    fn value(&self) -> &Value {
        self.value.get_or_init(|| self.build())
    }
}

impl Execution {
    pub(super) fn context<'a>(
        &'a self,
        machine: &'a Machine,
        visit: &'a Visit,
        token: Option<&'a str>,
    ) -> Context<'a> {
        Context { execution: self, machine, visit, token, value: OnceCell::new() }
    }
}

impl Context<'_> {
    /// As on AWS, only a Task state has a retry count, and only an attempt with a task token has a
    /// token.
    fn build(&self) -> Value {
        let Self { execution, machine, visit, token, .. } = self;
        let mut context = json!({
            "Execution": {
                "Id": machine.execution_arn(&execution.name),
                "Input": execution.input,
                "Name": execution.name,
                "RedriveCount": 0,
                "RoleArn": machine.role_arn(),
                "StartTime": execution.started_at.to_string(),
            },
            "State": { "EnteredTime": visit.entered_at.to_string(), "Name": visit.state },
            "StateMachine": { "Id": machine.arn(), "Name": machine.name },
        });
        let state = machine.states.get(&visit.state);
        if state.is_some_and(|state| matches!(state.kind, Kind::Task(_))) {
            context["State"]["RetryCount"] = visit.retries.iter().sum::<u32>().into();
        }
        if let Some(token) = token {
            context["Task"] = json!({ "Token": token });
        }
        context
    }
}
