//! Attempts of a task: how one begins, how its answer is worked off, and what an error leads to.

use super::step::{Run, retyped};
use super::{Attempt, Doing, Heartbeat, Invocation, Outcome, Step, TaskRef, Visit, token};
use crate::event::What;
use crate::failure::{Failure, HEARTBEAT_TIMEOUT, TIMEOUT};
use crate::machine::{Kind, Next, Resource, State, Task, check_size, place};
use serde_json::{Value, json};

impl<'a> Run<'a> {
    pub(super) fn begin_attempt(&mut self, visit: Visit) {
        match self.new_attempt(&visit) {
            Ok(attempt) => {
                let (resource, input) = (attempt.resource.clone(), attempt.input.clone());
                self.record(&visit.state, What::TaskScheduled { resource, input });
                self.execution.doing = Doing::Working { visit, attempt };
            }
            Err(failure) => self.fail(&visit, failure),
        }
    }

    fn new_attempt(&mut self, visit: &Visit) -> Result<Attempt, Failure> {
        let state = self.state(&visit.state)?;
        let task = task(state)?;
        self.execution.attempts += 1;
        let number = self.execution.attempts;
        let token =
            task.wait_for_token.then(|| token::new(&self.execution.name, number, self.host));
        let context = self.execution.context(self.machine, visit, token.as_deref());
        let input = state.flow.effective_input(&visit.input, &context)?;
        let (resource, input) = task.resource.call(input)?;
        let selected = state.flow.selected_input(&visit.input, &context)?;
        let timeout = task.timeout.resolve(1, &selected, &context)?;
        let heartbeat = task.heartbeat.as_ref();
        let heartbeat = heartbeat.map(|h| h.resolve(1, &selected, &context)).transpose()?;
        Ok(Attempt {
            number,
            resource,
            input,
            token,
            submitted: false,
            deadline: self.now.plus_seconds(timeout),
            heartbeat: heartbeat.map(|every_seconds| Heartbeat {
                every_seconds,
                due: self.now.plus_seconds(every_seconds),
            }),
            answer: None,
        })
    }

    /// Works off the answer or the timeout of an attempt, or says what is still to be done for it.
    pub(super) fn work(&mut self, visit: Visit, attempt: &Attempt) -> Option<Step> {
        match &attempt.answer {
            Some(Ok(result)) => self.succeeded(&visit, attempt, result.clone()),
            Some(Err(failure)) => {
                self.record(&visit.state, What::TaskFailed(failure.clone()));
                self.handle(&visit, failure.clone());
            }
            None if attempt.until() <= self.now => {
                let failure = Failure::new(attempt.timeout_error(), "");
                self.record(&visit.state, What::TaskTimedOut(failure.reported()));
                self.handle(&visit, failure);
            }
            None => return Some(self.still_working(visit, attempt)),
        }
        None
    }

    fn still_working(&self, visit: Visit, attempt: &Attempt) -> Step {
        let until = attempt.until();
        if attempt.submitted {
            return Step::AwaitToken { until };
        }
        Step::Invoke(Invocation {
            task: TaskRef {
                execution: self.execution.name.clone(),
                state: visit.state,
                attempt: attempt.number,
            },
            resource: attempt.resource.clone(),
            input: attempt.input.clone(),
            token: attempt.token.clone(),
            until,
        })
    }

    fn succeeded(&mut self, visit: &Visit, attempt: &Attempt, result: Value) {
        match self.output(visit, attempt, result) {
            Ok((output, next)) => self.exit(visit, output, next),
            Err(failure) => self.fail(visit, failure),
        }
    }

    fn output(
        &mut self,
        visit: &Visit,
        attempt: &Attempt,
        result: Value,
    ) -> Result<(Value, &'a Next), Failure> {
        let state = self.state(&visit.state)?;
        let task = task(state)?;
        let result = match &task.resource {
            Resource::Lambda { .. } if !task.wait_for_token => {
                json!({ "ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200 })
            }
            Resource::Lambda { .. } | Resource::Named(_) => result,
        };
        check_size(&result, "the result of the task")?;
        self.record(&visit.state, What::TaskSucceeded { output: result.clone() });
        let context = self.execution.context(self.machine, visit, attempt.token.as_deref());
        let output = state.flow.output(&visit.input, result, &context)?;
        Ok((output, &task.next))
    }

    /// Retries, catches, or ends the execution.
    pub(super) fn handle(&mut self, visit: &Visit, failure: Failure) {
        let Ok(task) = self.state(&visit.state).and_then(task) else {
            return self.end(Outcome::Failed(failure.reported()));
        };
        if self.retry(visit, task, &failure) {
            return;
        }
        let Some(catcher) = task.catch.iter().find(|catcher| catcher.matches(&failure)) else {
            return self.end(Outcome::Failed(failure.reported()));
        };
        let output = place(catcher.result_path.as_ref(), &visit.input, failure.output());
        let sized = output.and_then(|output| {
            check_size(&output, "the output of the state")?;
            Ok(output)
        });
        match sized {
            Ok(output) => self.exit(visit, output, &Next::State(catcher.next.clone())),
            Err(failure) => self.end(Outcome::Failed(failure)),
        }
    }

    /// The first retrier that matches decides; once it is used up, no later one is asked.
    fn retry(&mut self, visit: &Visit, task: &Task, failure: &Failure) -> bool {
        let found = task.retry.iter().enumerate().find(|(_, retrier)| retrier.matches(failure));
        let Some((at, retrier)) = found else { return false };
        let mut visit = visit.clone();
        visit.retries.resize(task.retry.len().max(at + 1), 0);
        if visit.retries[at] >= retrier.max_attempts {
            return false;
        }
        let until = self.now.plus_millis(retrier.delay(visit.retries[at], || self.host.random()));
        visit.retries[at] += 1;
        self.record(&visit.state, What::RetryScheduled { until });
        self.execution.doing = Doing::Retrying { visit, until };
        true
    }
}

fn task(state: &State) -> Result<&Task, Failure> {
    match &state.kind {
        Kind::Task(task) => Ok(task),
        Kind::Choice { .. } | Kind::Wait { .. } | Kind::Pass { .. } => Err(retyped()),
        Kind::Succeed | Kind::Fail { .. } => Err(retyped()),
    }
}

impl Resource {
    /// Which resource to call, and with what.
    fn call(&self, mut input: Value) -> Result<(String, Value), Failure> {
        match self {
            Self::Named(name) => Ok((name.clone(), input)),
            Self::Lambda { payload, .. } => {
                let Some(function) = input["FunctionName"].as_str().map(str::to_owned) else {
                    return Err(Failure::runtime("the 'FunctionName' is not a string"));
                };
                let payload = if payload.is_some() { input["Payload"].take() } else { json!({}) };
                Ok((function, payload))
            }
        }
    }
}

impl Attempt {
    fn until(&self) -> crate::Millis {
        self.heartbeat.map_or(self.deadline, |heartbeat| heartbeat.due.min(self.deadline))
    }

    fn timeout_error(&self) -> &'static str {
        if self.until() < self.deadline { HEARTBEAT_TIMEOUT } else { TIMEOUT }
    }
}
