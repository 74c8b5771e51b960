//! Stepping: advances an execution until its driver has to act.

use super::{Execution, Host, Outcome, Phase, Step, Visit};
use crate::event::{Event, EventKind};
use crate::failure::{Failure, NO_CHOICE_MATCHED, Origin};
use crate::limits::{drop_deep, measure};
use crate::machine::{Kind, Machine, Next, State, Text};
use crate::scope::{ContextObject, Scope};
use crate::state_error::{StateError, limit_exceeded};
use crate::{Millis, choice};
use serde_json::Value;
use std::borrow::Cow;

/// The maximum number of events in an execution's history (Step Functions service quotas). The limit
/// also ends a loop that contains no task and no wait.
const MAX_EVENTS: u32 = 25_000;

impl Execution {
    /// Starts an execution of the machine at its first state.
    pub fn start(machine: &Machine, name: impl Into<String>, input: Value, now: Millis) -> Self {
        let (input, phase) = match measure(&input) {
            Ok(_) => {
                let state = machine.start_at.clone();
                (input.clone(), Phase::Entering { state, input })
            }
            Err(limit) => {
                drop_deep(input);
                let failure = limit_exceeded(&machine.name, limit);
                (Value::Null, Phase::Done(Outcome::Failed(failure)))
            }
        };
        let started = 1; // AWS records `ExecutionStarted`.
        Self { name: name.into(), input, started_at: now, attempts: 0, events: started, phase }
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
    /// Leave the state with this output; `None` is the unchanged raw input.
    Exit { output: Option<Value>, next: &'a Next },
    /// Stay in the state until a point in time.
    Wait { until: Millis },
    /// Begin an attempt of the task.
    Attempt,
    /// End the execution.
    Fail(Failure),
}

impl<'a> Transition<'a> {
    /// Leaves the state with an output, which is not copied if it is the raw input.
    pub(super) fn exit(raw: &Value, output: Cow<'_, Value>, next: &'a Next) -> Self {
        let unchanged = std::ptr::eq(output.as_ref(), raw);
        let output = if unchanged { None } else { Some(output.into_owned()) };
        Self::Exit { output, next }
    }
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
    pub(super) fn state(&self, name: &str) -> Result<&'a State, StateError> {
        let state = self.machine.states.get(name);
        state.ok_or_else(|| StateError::runtime("The definition no longer has the state."))
    }

    pub(super) fn record(&mut self, state: &str, kind: EventKind<'_>) {
        self.execution.events += kind.aws_events();
        self.host.record(Event { at: self.now, state: Cow::Borrowed(state), kind });
    }

    /// The outcome of an execution whose history is full.
    pub(super) fn history_limit(&self) -> Option<Outcome> {
        let cause = || {
            format!("The execution reached the maximum number of history events ({MAX_EVENTS}).")
        };
        let is_full = self.execution.events > MAX_EVENTS;
        is_full.then(|| Outcome::Failed(Failure::runtime(cause())))
    }

    fn enter(&mut self, state: String, input: Value) -> Phase {
        if let Some(outcome) = self.history_limit() {
            return Phase::Done(outcome);
        }
        self.record(&state, EventKind::StateEntered { input: Cow::Borrowed(&input) });
        let (entered_at, entered_event) = (self.now, self.execution.events);
        let visit = Visit { state, input, entered_at, entered_event, retries: Vec::new() };
        let transition = self.run_state(&visit);
        self.follow(visit, transition)
    }

    fn run_state(&self, visit: &Visit) -> Result<Transition<'a>, StateError> {
        let state = self.state(&visit.state)?;
        let context = self.execution.context(self.machine, visit, None);
        let raw = &visit.input;
        match &state.kind {
            Kind::Task(_) => Ok(Transition::Attempt),
            Kind::Wait { until, .. } => {
                let input = state.flow.selected_input(raw, &context)?;
                let scope = Scope::new(&input, &context);
                Ok(Transition::Wait { until: until.resolve(visit.entered_at, &scope)? })
            }
            Kind::Pass { result, next } => {
                let input = state.flow.effective_input(raw, &context)?;
                let result = result.as_ref().map_or(input, Cow::Borrowed);
                Ok(Transition::exit(raw, state.flow.output(raw, result, &context)?, next))
            }
            Kind::Choice { rules, default } => {
                let input = state.flow.selected_input(raw, &context)?;
                let next = choose(rules, default.as_ref(), &Scope::new(&input, &context))?;
                Ok(Transition::exit(raw, state.flow.output(raw, input, &context)?, next))
            }
            Kind::Succeed => self.pass_input(state, raw, &context, &Next::End),
            Kind::Fail { error, cause } => {
                let scope = Scope::new(raw, &context);
                let (error, cause) = (text(error.as_ref(), &scope)?, text(cause.as_ref(), &scope)?);
                Ok(Transition::Fail(Failure { error, cause }))
            }
        }
    }

    fn leave_wait(&self, visit: &Visit) -> Result<Transition<'a>, StateError> {
        let state = self.state(&visit.state)?;
        let Kind::Wait { next, .. } = &state.kind else {
            return Err(type_changed());
        };
        let context = self.execution.context(self.machine, visit, None);
        self.pass_input(state, &visit.input, &context, next)
    }

    /// Leaves a state whose result is its input.
    fn pass_input(
        &self,
        state: &State,
        raw: &Value,
        context: &dyn ContextObject,
        next: &'a Next,
    ) -> Result<Transition<'a>, StateError> {
        let input = state.flow.selected_input(raw, context)?;
        Ok(Transition::exit(raw, state.flow.output(raw, input, context)?, next))
    }

    /// The phase after a state's decision, or after the failure of the state itself.
    pub(super) fn follow(
        &mut self,
        visit: Visit,
        transition: Result<Transition<'_>, StateError>,
    ) -> Phase {
        match transition {
            Ok(Transition::Exit { output, next }) => {
                self.exit(&visit.state, output.unwrap_or(visit.input), next)
            }
            Ok(Transition::Wait { until }) => Phase::Waiting { visit, until },
            Ok(Transition::Attempt) => self.begin_attempt(visit),
            Ok(Transition::Fail(failure)) => Phase::Done(Outcome::Failed(failure)),
            Err(error) => self.fail(visit, error),
        }
    }

    pub(super) fn exit(&mut self, state: &str, output: Value, next: &Next) -> Phase {
        self.record(state, EventKind::StateExited { output: Cow::Borrowed(&output) });
        match next {
            Next::State(state) => Phase::Entering { state: state.clone(), input: output },
            Next::End => Phase::Done(Outcome::Succeeded { output }),
        }
    }

    /// Handles an error of the state itself. Only a Task state can retry or catch it.
    pub(super) fn fail(&mut self, visit: Visit, error: StateError) -> Phase {
        let failure = error.into_failure(&visit.state, visit.entered_event).reported();
        self.record(&visit.state, EventKind::StateFailed(Cow::Borrowed(&failure)));
        self.handle(visit, failure, Origin::State)
    }
}

/// The error of a state whose type in the definition was changed while it ran.
pub(super) fn type_changed() -> StateError {
    StateError::runtime("The type of the state has changed in the definition.")
}

fn choose<'a>(
    rules: &'a [choice::Rule],
    default: Option<&'a Next>,
    scope: &Scope<'_>,
) -> Result<&'a Next, StateError> {
    for rule in rules {
        if rule.condition.holds(scope)? {
            return Ok(&rule.next);
        }
    }
    default.ok_or_else(|| {
        let cause =
            "Failed to transition out of the state. The state does not point to a next state.";
        StateError::new(NO_CHOICE_MATCHED, cause)
    })
}

/// The error name or cause of a Fail state, if it has one.
fn text(text: Option<&Text>, scope: &Scope<'_>) -> Result<Option<String>, StateError> {
    match text {
        None => Ok(None),
        Some(Text::Fixed(text)) => Ok(Some(text.clone())),
        Some(Text::Computed { field, expression }) => {
            let value = expression.eval(field, scope)?;
            let problem = || format!("The {field} parameter does not reference a string.");
            let text = value.as_str().ok_or_else(|| StateError::runtime(problem()))?;
            Ok(Some(text.to_owned()))
        }
    }
}
