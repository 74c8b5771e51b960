//! Stepping: advances an execution until its driver has to act.

use super::{Execution, Host, Outcome, Phase, Step, Visit};
use crate::event::{Event, EventKind};
use crate::failure::{Failure, NO_CHOICE_MATCHED};
use crate::machine::{Kind, Machine, Next, Seconds, State, Text, Until, check_size};
use crate::{Millis, choice};
use serde_json::{Value, json};

/// The maximum number of events in an execution's history (Step Functions service quotas). The limit
/// also ends a loop that contains no task and no wait.
const MAX_EVENTS: u32 = 25_000;

impl Execution {
    /// Starts an execution of the machine at its first state.
    pub fn start(machine: &Machine, name: impl Into<String>, input: Value, now: Millis) -> Self {
        let phase = match check_size(&input, "the input of the execution") {
            Ok(()) => Phase::Entering { state: machine.start_at.clone(), input: input.clone() },
            Err(failure) => Phase::Done(Outcome::Failed(failure)),
        };
        Self { name: name.into(), input, started_at: now, attempts: 0, events: 0, phase }
    }

    /// Advances the execution as far as possible and returns the next action for the driver. Call it
    /// after the start, after each answer, and at the time that the last step returned; additional
    /// calls change nothing.
    pub fn step(&mut self, machine: &Machine, now: Millis, host: &mut dyn Host) -> Step {
        let latest = machine.timeout_seconds.map(|seconds| self.started_at.plus_seconds(seconds));
        let mut run = Run { machine, now, host, execution: self };
        loop {
            if !run.is_done() && latest.is_some_and(|latest| latest <= now) {
                run.execution.phase = Phase::Done(Outcome::TimedOut);
            }
            match run.pending() {
                Some(step) => return step.no_later_than(latest),
                None => run.advance(),
            }
        }
    }

    /// The context object, which states access as `$$`.
    pub(super) fn context(&self, machine: &Machine, visit: &Visit, token: Option<&str>) -> Value {
        let mut context = json!({
            "Execution": {
                "Id": format!("{}:{}", machine.name, self.name),
                "Input": self.input,
                "Name": self.name,
                "StartTime": self.started_at.to_string(),
            },
            "State": {
                "EnteredTime": visit.entered_at.to_string(),
                "Name": visit.state,
                "RetryCount": visit.retries.iter().sum::<u32>(),
            },
            "StateMachine": { "Id": machine.name, "Name": machine.name },
        });
        if let Some(token) = token {
            context["Task"] = json!({ "Token": token });
        }
        context
    }
}

impl Step {
    fn no_later_than(mut self, latest: Option<Millis>) -> Self {
        if let Some(latest) = latest {
            match &mut self {
                Self::Invoke(invocation) => invocation.until = invocation.until.min(latest),
                Self::AwaitToken { until } | Self::Sleep { until } => *until = latest.min(*until),
                Self::Done(_) => {}
            }
        }
        self
    }
}

/// One call of [`Execution::step`].
pub(super) struct Run<'a> {
    pub(super) execution: &'a mut Execution,
    pub(super) machine: &'a Machine,
    pub(super) now: Millis,
    pub(super) host: &'a mut dyn Host,
}

/// The decision of a state about how to continue.
pub(super) enum Transition<'a> {
    /// Leave the state with this output.
    Exit { output: Value, next: &'a Next },
    /// Stay in the state until a point in time.
    Wait { until: Millis },
    /// Begin an attempt of the task.
    Attempt,
    /// End the execution.
    Fail(Failure),
}

impl<'a> Run<'a> {
    fn is_done(&self) -> bool {
        matches!(self.execution.phase, Phase::Done(_))
    }

    /// The action for which the execution waits; `None` if it can advance without the driver.
    fn pending(&self) -> Option<Step> {
        match &self.execution.phase {
            Phase::Done(outcome) => Some(Step::Done(outcome.clone())),
            Phase::Waiting { until, .. } | Phase::Retrying { until, .. } => {
                (self.now < *until).then_some(Step::Sleep { until: *until })
            }
            Phase::Working { visit, attempt } => self.pending_attempt(visit, attempt),
            Phase::Entering { .. } => None,
        }
    }

    /// Replaces the phase by the one that follows it.
    fn advance(&mut self) {
        // The placeholder is replaced below, and no method reads the phase in between.
        let placeholder = Phase::Done(Outcome::TimedOut);
        let next = match std::mem::replace(&mut self.execution.phase, placeholder) {
            Phase::Entering { state, input } => self.enter(state, input),
            Phase::Waiting { visit, .. } => {
                let transition = self.leave_wait(&visit);
                self.follow(visit, transition)
            }
            Phase::Retrying { visit, .. } => self.begin_attempt(visit),
            Phase::Working { visit, attempt } => self.finish_attempt(visit, attempt),
            Phase::Done(outcome) => Phase::Done(outcome),
        };
        self.execution.phase = next;
    }

    /// The definition of a state. An execution that outlived a change of its definition may refer to
    /// a state that no longer exists.
    pub(super) fn state(&self, name: &str) -> Result<&'a State, Failure> {
        let state = self.machine.states.get(name);
        state.ok_or_else(|| Failure::runtime(format!("the definition has no state '{name}'")))
    }

    pub(super) fn record(&mut self, state: &str, kind: EventKind) {
        self.execution.events += 1;
        self.host.record(Event { at: self.now, state: state.to_owned(), kind });
    }

    fn enter(&mut self, state: String, input: Value) -> Phase {
        if self.execution.events >= MAX_EVENTS {
            let cause = format!("the history has reached {MAX_EVENTS} entries");
            return Phase::Done(Outcome::Failed(Failure::runtime(cause)));
        }
        self.record(&state, EventKind::StateEntered { input: input.clone() });
        let visit = Visit { state, input, entered_at: self.now, retries: Vec::new() };
        let transition = self.run_state(&visit);
        self.follow(visit, transition)
    }

    fn run_state(&self, visit: &Visit) -> Result<Transition<'a>, Failure> {
        let state = self.state(&visit.state)?;
        let context = self.execution.context(self.machine, visit, None);
        let raw = &visit.input;
        match &state.kind {
            Kind::Task(_) => Ok(Transition::Attempt),
            Kind::Wait { until, .. } => {
                let input = state.flow.selected_input(raw, &context)?;
                let until = until.resolve(visit.entered_at, &input, &context)?;
                Ok(Transition::Wait { until })
            }
            Kind::Pass { result, next } => {
                let input = state.flow.effective_input(raw, &context)?;
                let output = state.flow.output(raw, result.clone().unwrap_or(input), &context)?;
                Ok(Transition::Exit { output, next })
            }
            Kind::Choice { rules, default } => {
                let input = state.flow.selected_input(raw, &context)?;
                let next = choose(rules, default.as_ref(), &input, &context)?;
                Ok(Transition::Exit { output: state.flow.output(raw, input, &context)?, next })
            }
            Kind::Succeed => {
                let input = state.flow.selected_input(raw, &context)?;
                let output = state.flow.output(raw, input, &context)?;
                Ok(Transition::Exit { output, next: &Next::End })
            }
            Kind::Fail { error, cause } => {
                let error = text(error.as_ref(), raw, &context)?;
                let cause = text(cause.as_ref(), raw, &context)?;
                Ok(Transition::Fail(Failure::new(error, cause)))
            }
        }
    }

    fn leave_wait(&self, visit: &Visit) -> Result<Transition<'a>, Failure> {
        let state = self.state(&visit.state)?;
        let Kind::Wait { next, .. } = &state.kind else {
            return Err(type_changed());
        };
        let context = self.execution.context(self.machine, visit, None);
        let input = state.flow.selected_input(&visit.input, &context)?;
        let output = state.flow.output(&visit.input, input, &context)?;
        Ok(Transition::Exit { output, next })
    }

    /// The phase after a state's decision, or after the failure of the state itself.
    pub(super) fn follow(
        &mut self,
        visit: Visit,
        transition: Result<Transition<'_>, Failure>,
    ) -> Phase {
        match transition {
            Ok(Transition::Exit { output, next }) => self.exit(&visit.state, output, next),
            Ok(Transition::Wait { until }) => Phase::Waiting { visit, until },
            Ok(Transition::Attempt) => self.begin_attempt(visit),
            Ok(Transition::Fail(failure)) => Phase::Done(Outcome::Failed(failure)),
            Err(failure) => self.fail(visit, failure),
        }
    }

    pub(super) fn exit(&mut self, state: &str, output: Value, next: &Next) -> Phase {
        self.record(state, EventKind::StateExited { output: output.clone() });
        match next {
            Next::State(state) => Phase::Entering { state: state.clone(), input: output },
            Next::End => Phase::Done(Outcome::Succeeded { output }),
        }
    }

    /// Handles a failure of the state itself. Only a Task state can retry or catch it.
    pub(super) fn fail(&mut self, visit: Visit, failure: Failure) -> Phase {
        self.record(&visit.state, EventKind::StateFailed(failure.reported()));
        self.handle(visit, failure)
    }
}

/// The failure of an execution whose definition was changed while it ran.
pub(super) fn type_changed() -> Failure {
    Failure::runtime("the type of the state has changed in the definition")
}

fn choose<'a>(
    rules: &'a [choice::Rule],
    default: Option<&'a Next>,
    input: &Value,
    context: &Value,
) -> Result<&'a Next, Failure> {
    for rule in rules {
        if rule.condition.holds(input, context)? {
            return Ok(&rule.next);
        }
    }
    let none = || Failure::new(NO_CHOICE_MATCHED, "no rule holds and there is no default");
    default.ok_or_else(none)
}

fn text(text: Option<&Text>, input: &Value, context: &Value) -> Result<String, Failure> {
    match text {
        None => Ok(String::new()),
        Some(Text::Fixed(text)) => Ok(text.clone()),
        Some(Text::Computed { field, expression }) => {
            let value = expression.eval(field, input, context)?;
            let problem = || Failure::runtime(format!("the '{field}' does not select a string"));
            value.as_str().map(str::to_owned).ok_or_else(problem)
        }
    }
}

impl Until {
    /// The end of a wait that began at `from`.
    fn resolve(&self, from: Millis, input: &Value, context: &Value) -> Result<Millis, Failure> {
        match self {
            Self::Seconds(seconds) => Ok(from.plus_seconds(seconds.resolve(0, input, context)?)),
            Self::Timestamp(timestamp) => Ok(*timestamp),
            Self::TimestampPath(path) => {
                let value = path.require("TimestampPath", input, context)?;
                let timestamp = value.as_str().and_then(Millis::from_rfc3339);
                timestamp.ok_or_else(|| {
                    Failure::runtime("the 'TimestampPath' does not select a timestamp")
                })
            }
        }
    }
}

impl Seconds {
    /// The number of seconds, which must be an integer of at least `least`.
    pub(super) fn resolve(
        &self,
        least: u64,
        input: &Value,
        context: &Value,
    ) -> Result<u64, Failure> {
        match self {
            Self::Fixed(seconds) => Ok(*seconds),
            Self::Path { field, path } => {
                let value = path.require(field, input, context)?;
                let seconds = value
                    .as_u64()
                    .filter(|seconds| (least..=crate::machine::MAX_SECONDS).contains(seconds));
                let cause = || format!("the '{field}' does not select an integer from {least} on");
                seconds.ok_or_else(|| Failure::runtime(cause()))
            }
        }
    }
}
