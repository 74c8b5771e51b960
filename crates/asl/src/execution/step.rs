//! Stepping: from where an execution is to what its driver must do.

use super::{Doing, Execution, Host, Outcome, Step, Visit};
use crate::event::{Event, What};
use crate::failure::{Failure, NO_CHOICE_MATCHED};
use crate::machine::{Kind, Machine, Next, Seconds, State, Text, Until, check_size};
use crate::{Millis, choice};
use serde_json::{Value, json};

/// AWS ends an execution whose history reaches this many entries. It also ends a loop without a
/// task or wait in it.
const MAX_EVENTS: u32 = 25_000;

impl Execution {
    /// A new run of the machine.
    pub fn start(machine: &Machine, name: impl Into<String>, input: Value, now: Millis) -> Self {
        let doing = match check_size(&input, "the input of the execution") {
            Ok(()) => Doing::Entering { state: machine.start_at.clone(), input: input.clone() },
            Err(failure) => Doing::Done(Outcome::Failed(failure)),
        };
        Self { name: name.into(), input, started_at: now, attempts: 0, events: 0, doing }
    }

    /// Goes on as far as possible and says what to do next. Call it after the start, after each
    /// answer, and at the time that the last step named; calling it more often does no harm.
    pub fn step(&mut self, machine: &Machine, now: Millis, host: &mut dyn Host) -> Step {
        let latest = machine.timeout_seconds.map(|seconds| self.started_at.plus_seconds(seconds));
        let mut run = Run { machine, now, host, execution: self };
        loop {
            if !run.is_done() && latest.is_some_and(|latest| latest <= now) {
                run.execution.doing = Doing::Done(Outcome::TimedOut);
            }
            if let Some(step) = run.advance() {
                return step.no_later_than(latest);
            }
        }
    }

    /// The context object, as states see it under `$$`.
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

/// An execution while it is being stepped.
pub(super) struct Run<'a> {
    pub(super) execution: &'a mut Execution,
    pub(super) machine: &'a Machine,
    pub(super) now: Millis,
    pub(super) host: &'a mut dyn Host,
}

impl<'a> Run<'a> {
    fn is_done(&self) -> bool {
        matches!(self.execution.doing, Doing::Done(_))
    }

    /// Does one thing. `None` means that there is more to do at once.
    fn advance(&mut self) -> Option<Step> {
        let now = self.now;
        match self.execution.doing.clone() {
            Doing::Done(outcome) => return Some(Step::Done(outcome)),
            Doing::Waiting { until, .. } | Doing::Retrying { until, .. } if now < until => {
                return Some(Step::Sleep { until });
            }
            Doing::Working { visit, attempt } => return self.work(visit, &attempt),
            Doing::Entering { state, input } => self.enter(state, input),
            Doing::Waiting { visit, .. } => {
                let left = self.leave_wait(&visit);
                self.or_fail(&visit, left);
            }
            Doing::Retrying { visit, .. } => self.begin_attempt(visit),
        }
        None
    }

    /// The state of a visit. A run that outlived a change of its definition may name one that is
    /// gone.
    pub(super) fn state(&self, name: &str) -> Result<&'a State, Failure> {
        let state = self.machine.states.get(name);
        state.ok_or_else(|| Failure::runtime(format!("the definition has no state '{name}'")))
    }

    pub(super) fn record(&mut self, state: &str, what: What) {
        self.execution.events += 1;
        self.host.record(Event { at: self.now, state: state.to_owned(), what });
    }

    fn enter(&mut self, state: String, input: Value) {
        if self.execution.events >= MAX_EVENTS {
            let cause = format!("the history has reached {MAX_EVENTS} entries");
            return self.end(Outcome::Failed(Failure::runtime(cause)));
        }
        self.record(&state, What::StateEntered { input: input.clone() });
        let visit = Visit { state, input, entered_at: self.now, retries: Vec::new() };
        let ran = self.run_state(&visit);
        self.or_fail(&visit, ran);
    }

    fn run_state(&mut self, visit: &Visit) -> Result<(), Failure> {
        let state = self.state(&visit.state)?;
        let context = self.execution.context(self.machine, visit, None);
        let raw = &visit.input;
        match &state.kind {
            Kind::Task(_) => self.begin_attempt(visit.clone()),
            Kind::Wait { until, .. } => {
                let input = state.flow.selected_input(raw, &context)?;
                let until = until.moment(visit.entered_at, &input, &context)?;
                self.execution.doing = Doing::Waiting { visit: visit.clone(), until };
            }
            Kind::Pass { result, next } => {
                let input = state.flow.effective_input(raw, &context)?;
                let output = state.flow.output(raw, result.clone().unwrap_or(input), &context)?;
                self.exit(visit, output, next);
            }
            Kind::Choice { rules, default } => {
                let input = state.flow.selected_input(raw, &context)?;
                let next = choose(rules, default.as_ref(), &input, &context)?;
                let output = state.flow.output(raw, input, &context)?;
                self.exit(visit, output, &Next::State(next));
            }
            Kind::Succeed => {
                let input = state.flow.selected_input(raw, &context)?;
                let output = state.flow.output(raw, input, &context)?;
                self.exit(visit, output, &Next::End);
            }
            Kind::Fail { error, cause } => {
                let error = text(error.as_ref(), raw, &context)?;
                let failure = Failure::new(error, text(cause.as_ref(), raw, &context)?);
                self.end(Outcome::Failed(failure));
            }
        }
        Ok(())
    }

    fn leave_wait(&mut self, visit: &Visit) -> Result<(), Failure> {
        let state = self.state(&visit.state)?;
        let Kind::Wait { next, .. } = &state.kind else {
            return Err(retyped());
        };
        let context = self.execution.context(self.machine, visit, None);
        let input = state.flow.selected_input(&visit.input, &context)?;
        let output = state.flow.output(&visit.input, input, &context)?;
        self.exit(visit, output, next);
        Ok(())
    }

    pub(super) fn exit(&mut self, visit: &Visit, output: Value, next: &Next) {
        self.record(&visit.state, What::StateExited { output: output.clone() });
        match next {
            Next::State(state) => {
                self.execution.doing = Doing::Entering { state: state.clone(), input: output };
            }
            Next::End => self.end(Outcome::Succeeded { output }),
        }
    }

    fn or_fail(&mut self, visit: &Visit, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.fail(visit, failure);
        }
    }

    /// The state itself failed. Only a task can be retried or caught.
    pub(super) fn fail(&mut self, visit: &Visit, failure: Failure) {
        self.record(&visit.state, What::StateFailed(failure.reported()));
        self.handle(visit, failure);
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        self.execution.doing = Doing::Done(outcome);
    }
}

/// A run outlived a change of its definition.
pub(super) fn retyped() -> Failure {
    Failure::runtime("the definition has another type for the state now")
}

fn choose(
    rules: &[choice::Rule],
    default: Option<&String>,
    input: &Value,
    context: &Value,
) -> Result<String, Failure> {
    for rule in rules {
        if rule.test.holds(input, context)? {
            return Ok(rule.next.clone());
        }
    }
    let none = || Failure::new(NO_CHOICE_MATCHED, "no rule holds and there is no default");
    default.cloned().ok_or_else(none)
}

fn text(text: Option<&Text>, input: &Value, context: &Value) -> Result<String, Failure> {
    match text {
        None => Ok(String::new()),
        Some(Text::Fixed(text)) => Ok(text.clone()),
        Some(Text::Computed { field, expression }) => {
            let value = expression.eval(field, input, context)?;
            let problem = || Failure::runtime(format!("the '{field}' does not give a string"));
            value.as_str().map(str::to_owned).ok_or_else(problem)
        }
    }
}

impl Until {
    fn moment(&self, from: Millis, input: &Value, context: &Value) -> Result<Millis, Failure> {
        match self {
            Self::Seconds(seconds) => Ok(from.plus_seconds(seconds.resolve(0, input, context)?)),
            Self::Timestamp(moment) => Ok(*moment),
            Self::TimestampPath(path) => {
                let value = path.require("TimestampPath", input, context)?;
                let moment = value.as_str().and_then(Millis::from_rfc3339);
                moment.ok_or_else(|| Failure::runtime("the 'TimestampPath' gives no timestamp"))
            }
        }
    }
}

impl Seconds {
    /// The number of seconds, which must be an integer from `least` on.
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
                let cause = || format!("the '{field}' gives no integer from {least} on");
                seconds.ok_or_else(|| Failure::runtime(cause()))
            }
        }
    }
}
