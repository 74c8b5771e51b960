//! Attempts of a task: starting an attempt, processing its answer, retrying and catching errors.

use super::step::{Run, Transition, type_changed};
use super::{Attempt, Heartbeat, Invocation, Outcome, Phase, Step, TaskRef, Visit, token};
use crate::Millis;
use crate::event::EventKind;
use crate::failure::{Failure, HEARTBEAT_TIMEOUT, TIMEOUT};
use crate::machine::{Kind, Resource, State, Task, apply_result_path, check_size};
use serde_json::{Value, json};

impl<'a> Run<'a> {
    pub(super) fn begin_attempt(&mut self, visit: Visit) -> Phase {
        match self.new_attempt(&visit) {
            Ok(attempt) => {
                let (resource, input) = (attempt.resource.clone(), attempt.input.clone());
                self.record(&visit.state, EventKind::TaskScheduled { resource, input });
                Phase::Working { visit, attempt }
            }
            Err(failure) => self.fail(visit, failure),
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

    /// The action for which an attempt waits; `None` if it is answered or timed out.
    pub(super) fn pending_attempt(&self, visit: &Visit, attempt: &Attempt) -> Option<Step> {
        let until = attempt.until();
        if attempt.answer.is_some() || until <= self.now {
            return None;
        }
        if attempt.submitted {
            return Some(Step::AwaitToken { until });
        }
        Some(Step::Invoke(Invocation {
            task: TaskRef {
                execution: self.execution.name.clone(),
                state: visit.state.clone(),
                attempt: attempt.number,
            },
            resource: attempt.resource.clone(),
            input: attempt.input.clone(),
            token: attempt.token.clone(),
            until,
        }))
    }

    /// Processes the answer or the timeout of an attempt.
    pub(super) fn finish_attempt(&mut self, visit: Visit, mut attempt: Attempt) -> Phase {
        match attempt.answer.take() {
            Some(Ok(result)) => {
                let transition = self.succeed(&visit, attempt.token.as_deref(), result);
                self.follow(visit, transition)
            }
            Some(Err(failure)) => {
                self.record(&visit.state, EventKind::TaskFailed(failure.clone()));
                self.handle(visit, failure)
            }
            None => {
                let failure = Failure::new(attempt.timeout_error(), "");
                self.record(&visit.state, EventKind::TaskTimedOut(failure.reported()));
                self.handle(visit, failure)
            }
        }
    }

    fn succeed(
        &mut self,
        visit: &Visit,
        token: Option<&str>,
        result: Value,
    ) -> Result<Transition<'a>, Failure> {
        let state = self.state(&visit.state)?;
        let task = task(state)?;
        let result = match &task.resource {
            Resource::Lambda { .. } if !task.wait_for_token => {
                json!({ "ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200 })
            }
            Resource::Lambda { .. } | Resource::Named(_) => result,
        };
        check_size(&result, "the result of the task")?;
        self.record(&visit.state, EventKind::TaskSucceeded { output: result.clone() });
        let context = self.execution.context(self.machine, visit, token);
        let output = state.flow.output(&visit.input, result, &context)?;
        Ok(Transition::Exit { output, next: &task.next })
    }

    /// Handles a failure: retries, catches, or ends the execution.
    pub(super) fn handle(&mut self, mut visit: Visit, failure: Failure) -> Phase {
        let Ok(task) = self.state(&visit.state).and_then(task) else {
            return Phase::Done(Outcome::Failed(failure.reported()));
        };
        if let Some(until) = self.schedule_retry(&mut visit, task, &failure) {
            return Phase::Retrying { visit, until };
        }
        let Some(catcher) = task.catch.iter().find(|catcher| catcher.matches(&failure)) else {
            return Phase::Done(Outcome::Failed(failure.reported()));
        };
        let result_path = catcher.result_path.as_ref();
        let output = apply_result_path(result_path, &visit.input, failure.output());
        let checked = output.and_then(|output| {
            check_size(&output, "the output of the state")?;
            Ok(output)
        });
        match checked {
            Ok(output) => self.exit(&visit.state, output, &catcher.next),
            Err(failure) => Phase::Done(Outcome::Failed(failure)),
        }
    }

    /// The time of the next attempt; `None` if the failure is not retried. Only the first matching
    /// retrier applies, even if its attempts are exhausted.
    fn schedule_retry(
        &mut self,
        visit: &mut Visit,
        task: &Task,
        failure: &Failure,
    ) -> Option<Millis> {
        let retriers = task.retry.iter().enumerate();
        let (at, retrier) = retriers.into_iter().find(|(_, retrier)| retrier.matches(failure))?;
        visit.retries.resize(task.retry.len().max(at + 1), 0);
        let earlier = visit.retries[at];
        if earlier >= retrier.max_attempts {
            return None;
        }
        let until = self.now.plus_millis(retrier.delay(earlier, || self.host.random()));
        visit.retries[at] += 1;
        self.record(&visit.state, EventKind::RetryScheduled { until });
        Some(until)
    }
}

fn task(state: &State) -> Result<&Task, Failure> {
    match &state.kind {
        Kind::Task(task) => Ok(task),
        Kind::Choice { .. } | Kind::Wait { .. } | Kind::Pass { .. } => Err(type_changed()),
        Kind::Succeed | Kind::Fail { .. } => Err(type_changed()),
    }
}

impl Resource {
    /// The resource to call and its input.
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
    /// The time at which the attempt times out.
    fn until(&self) -> Millis {
        self.heartbeat.map_or(self.deadline, |heartbeat| heartbeat.due.min(self.deadline))
    }

    fn timeout_error(&self) -> &'static str {
        if self.until() < self.deadline { HEARTBEAT_TIMEOUT } else { TIMEOUT }
    }
}
