//! Attempts of a task: starting an attempt, processing its answer, retrying and catching errors.

use super::step::{Run, Transition, type_changed};
use super::{Answer, Attempt, Heartbeat, Invocation, Outcome, Phase, Step, TaskRef, Visit, token};
use crate::Millis;
use crate::event::EventKind;
use crate::failure::{Failure, HEARTBEAT_TIMEOUT, Origin, TIMEOUT};
use crate::limits::{LimitError, measure};
use crate::machine::{Kind, Resource, State, Task, apply_result_path};
use crate::scope::Scope;
use crate::state_error::{StateError, limit_exceeded};
use serde_json::{Value, json};
use std::borrow::Cow;

impl<'a> Run<'a> {
    pub(super) fn begin_attempt(&mut self, visit: Visit) -> Phase {
        if let Some(outcome) = self.history_limit() {
            return Phase::Done(outcome);
        }
        match self.new_attempt(&visit) {
            Ok(attempt) => {
                let resource = Cow::Borrowed(attempt.resource.as_str());
                let input = Cow::Borrowed(&attempt.input);
                self.record(&visit.state, EventKind::TaskScheduled { resource, input });
                Phase::Working { visit, attempt }
            }
            Err(error) => self.fail(visit, error),
        }
    }

    fn new_attempt(&mut self, visit: &Visit) -> Result<Attempt, StateError> {
        let state = self.state(&visit.state)?;
        let task = task(state)?;
        self.execution.attempts += 1;
        let number = self.execution.attempts;
        let token =
            task.wait_for_token.then(|| token::new(&self.execution.name, number, self.host));
        let context = self.execution.context(self.machine, visit, token.as_deref());
        let input = state.flow.effective_input(&visit.input, &context)?;
        let (resource, input) = task.resource.call(input.into_owned())?;
        let selected = state.flow.selected_input(&visit.input, &context)?;
        let scope = Scope::new(&selected, &context);
        let timeout = task.timeout.timeout(&scope)?;
        let heartbeat = task.heartbeat.as_ref();
        let heartbeat = heartbeat.map(|heartbeat| heartbeat.timeout(&scope)).transpose()?;
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
            Some(Answer::Ok(result)) => self.succeed(visit, attempt.token.as_deref(), result),
            Some(Answer::Err(failure)) => self.fail_task(visit, failure),
            Some(Answer::Exceeded(limit)) => self.exceed(visit, limit),
            None => {
                let failure = Failure::new(attempt.timeout_error(), "");
                let reported = Cow::Owned(failure.clone().reported());
                self.record(&visit.state, EventKind::TaskTimedOut(reported));
                self.handle(visit, failure, Origin::Task)
            }
        }
    }

    fn succeed(&mut self, visit: Visit, token: Option<&str>, result: Value) -> Phase {
        let (state, task) =
            match self.state(&visit.state).and_then(|state| Ok((state, task(state)?))) {
                Ok(found) => found,
                Err(error) => return self.fail(visit, error),
            };
        let result = task.resource.wrap(result, task.wait_for_token);
        if let Err(limit) = measure(&result) {
            return self.exceed(visit, limit);
        }
        self.record(&visit.state, EventKind::TaskSucceeded { output: Cow::Borrowed(&result) });
        let context = self.execution.context(self.machine, &visit, token);
        let output = state.flow.output(&visit.input, Cow::Owned(result), &context);
        let transition = output.map(|output| Transition::exit(&visit.input, output, &task.next));
        drop(context);
        self.follow(visit, transition)
    }

    fn fail_task(&mut self, visit: Visit, failure: Failure) -> Phase {
        self.record(&visit.state, EventKind::TaskFailed(Cow::Borrowed(&failure)));
        self.handle(visit, failure, Origin::Task)
    }

    /// Fails a task whose result exceeds a limit.
    fn exceed(&mut self, visit: Visit, limit: LimitError) -> Phase {
        match self.state(&visit.state).and_then(task) {
            Ok(task) => self.fail_task(visit, limit_exceeded(task.resource.reported_name(), limit)),
            Err(error) => self.fail(visit, error),
        }
    }

    /// Handles a failure: retries, catches, or ends the execution.
    pub(super) fn handle(&mut self, mut visit: Visit, failure: Failure, origin: Origin) -> Phase {
        let Ok(task) = self.state(&visit.state).and_then(task) else {
            return Phase::Done(Outcome::Failed(failure.reported()));
        };
        if let Some(until) = self.schedule_retry(&mut visit, task, &failure, origin) {
            return Phase::Retrying { visit, until };
        }
        let mut catchers = task.catch.iter();
        let Some(catcher) = catchers.find(|catcher| catcher.matches(&failure, origin)) else {
            return Phase::Done(Outcome::Failed(failure.reported()));
        };
        let error_output = Cow::Owned(failure.output());
        let output = apply_result_path(catcher.result_path.as_ref(), &visit.input, error_output);
        let checked = output.and_then(|output| {
            measure(&output)?;
            Ok(output.into_owned())
        });
        match checked {
            Ok(output) => self.exit(&visit.state, output, &catcher.next),
            Err(error) => {
                let failure = error.into_failure(&visit.state, visit.entered_event);
                Phase::Done(Outcome::Failed(failure))
            }
        }
    }

    /// The time of the next attempt; `None` if the failure is not retried. Only the first matching
    /// retrier applies, even if its attempts are exhausted.
    fn schedule_retry(
        &mut self,
        visit: &mut Visit,
        task: &Task,
        failure: &Failure,
        origin: Origin,
    ) -> Option<Millis> {
        let at = task.retry.iter().position(|retrier| retrier.matches(failure, origin))?;
        let retrier = &task.retry[at];
        visit.retries.resize(visit.retries.len().max(at + 1), 0);
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

fn task(state: &State) -> Result<&Task, StateError> {
    match &state.kind {
        Kind::Task(task) => Ok(task),
        Kind::Choice { .. } | Kind::Wait { .. } | Kind::Pass { .. } => Err(type_changed()),
        Kind::Succeed | Kind::Fail { .. } => Err(type_changed()),
    }
}

impl Resource {
    /// The task's result: the integration with Lambda wraps the function's result.
    fn wrap(&self, result: Value, wait_for_token: bool) -> Value {
        match self {
            Self::Lambda { .. } if !wait_for_token => {
                json!({ "ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200 })
            }
            Self::Lambda { .. } | Self::Named(_) => result,
        }
    }

    /// The resource to call and its input.
    fn call(&self, mut input: Value) -> Result<(String, Value), StateError> {
        match self {
            Self::Named(name) => Ok((name.clone(), input)),
            Self::Lambda { payload, .. } => {
                let Some(function) = input["FunctionName"].as_str().map(str::to_owned) else {
                    return Err(StateError::runtime("The FunctionName is not a string."));
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
