//! Runs a definition with virtual time and scripted task answers, and prints its history.

use asl::{Event, EventKind, Execution, Failure, Host, Invocation, Machine, Millis, Outcome, Step};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
Usage: trace DEFINITION.json INPUT.json [--tasks ANSWERS.json]

Runs an Amazon States Language definition (JSONPath) with virtual time, and prints its history as
JSON lines: {\"state\", \"event\", \"at\", \"input\" | \"output\" | \"error\" and \"cause\"}.
The last line is {\"status\": \"SUCCEEDED\" | \"FAILED\" | \"TIMED_OUT\", ...}.

\"at\" is virtual time as RFC 3339 in UTC; every run starts at 2000-01-01T00:00:00.000Z.
Nothing is random: full jitter always waits the maximum delay.

ANSWERS.json has, for each state, one answer per attempt:
  {\"State\": [{\"error\": \"E\", \"cause\": \"why\"}, {\"timeout\": true}, {\"output\": {}}]}
An error or a cause of null is one that the task did not report.
An output is the result of the called function; a .waitForTaskToken state receives it with its token.

Exits with 0 if the definition ran, with any status, and with 2 if it could not run.
";

type BoxError = Box<dyn Error>;

/// The scripted answer to one attempt of a task.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an answer is {\"output\": …}, {\"error\": …, \"cause\": …} or {\"timeout\": true}"
)]
enum Answer {
    Output(Output),
    Error(Failed),
    Timeout(TimedOut),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    output: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    #[serde(deserialize_with = "Option::deserialize")]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimedOut {
    timeout: bool,
}

type Answers = HashMap<String, VecDeque<Answer>>;

/// Prints each event as a JSON line.
struct Printer<'o> {
    out: &'o mut dyn Write,
}

impl Printer<'_> {
    /// Ignores errors: a closed standard output must not fail the run.
    fn print(&mut self, line: &impl Serialize) {
        let line = serde_json::to_string(line).expect("all keys are strings");
        let _closed = writeln!(self.out, "{line}");
    }
}

impl Host for Printer<'_> {
    fn random(&mut self) -> u64 {
        u64::MAX
    }

    fn record(&mut self, event: Event<'_>) {
        let mut rest = Map::new();
        let mut put = |name: &str, value: Value| rest.insert(name.to_owned(), value);
        let name = event.kind.name();
        match event.kind {
            EventKind::StateEntered { input } | EventKind::TaskScheduled { input, .. } => {
                put("input", input.into_owned())
            }
            EventKind::TaskSucceeded { output } | EventKind::StateExited { output } => {
                put("output", output.into_owned())
            }
            EventKind::TaskFailed(failure)
            | EventKind::TaskTimedOut(failure)
            | EventKind::StateFailed(failure) => {
                put("error", json!(failure.error));
                put("cause", json!(failure.cause))
            }
            EventKind::RetryScheduled { until } => put("until", until.to_string().into()),
        };
        self.print(&Line {
            state: event.state.into_owned(),
            event: name,
            at: event.at.to_string(),
            rest,
        });
    }
}

#[derive(Serialize)]
struct Line {
    state: String,
    event: &'static str,
    at: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Serialize)]
struct LastLine {
    status: &'static str,
    #[serde(flatten)]
    rest: Value,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        let _closed = write!(std::io::stdout(), "{HELP}");
        return ExitCode::SUCCESS;
    }
    match load(&arguments)
        .and_then(|(machine, input, answers)| run(&machine, input, answers, &mut std::io::stdout()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let mut text = format!("trace: {problem}");
            let mut source = problem.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            let _closed = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}

fn load(arguments: &[String]) -> Result<(Machine, Value, Answers), BoxError> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (definition, input, tasks) = match arguments.as_slice() {
        [definition, input] => (definition, input, None),
        [definition, input, "--tasks", tasks] | ["--tasks", tasks, definition, input] => {
            (definition, input, Some(tasks))
        }
        _ => {
            return Err(
                "expected DEFINITION.json INPUT.json [--tasks ANSWERS.json]; see --help".into()
            );
        }
    };
    let machine = Machine::parse(&read(definition)?)?;
    let input = serde_json::from_str(&read(input)?).map_err(|e| format!("{input}: {e}"))?;
    let answers = tasks.map_or(Ok(Answers::new()), |path| {
        serde_json::from_str(&read(path)?).map_err(|e| BoxError::from(format!("{path}: {e}")))
    })?;
    Ok((machine, input, answers))
}

fn read(path: &str) -> Result<String, BoxError> {
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}").into())
}

fn run(
    machine: &Machine,
    input: Value,
    mut answers: Answers,
    out: &mut dyn Write,
) -> Result<(), BoxError> {
    let mut printer = Printer { out };
    let mut now = Millis::from_rfc3339("2000-01-01T00:00:00Z").expect("the text is a timestamp");
    let mut execution = Execution::start(machine, "trace", input, now);
    loop {
        match execution.step(machine, now, &mut printer) {
            Step::Invoke(invocation) => {
                now = answer(&mut execution, invocation, &mut answers, now)?
            }
            Step::AwaitToken { until } | Step::Sleep { until } => now = until,
            Step::Done(outcome) => {
                printer.print(&last_line(outcome));
                return Ok(());
            }
        }
    }
}

/// Applies the next scripted answer and returns the time after it.
fn answer(
    execution: &mut Execution,
    invocation: Invocation,
    answers: &mut Answers,
    now: Millis,
) -> Result<Millis, BoxError> {
    let state = &invocation.task.state;
    let answer = answers.get_mut(state).and_then(VecDeque::pop_front);
    let result = match answer.ok_or_else(|| format!("no answer left for the state '{state}'"))? {
        Answer::Timeout(TimedOut { timeout: true }) => return Ok(invocation.until),
        Answer::Timeout(_) => return Err(format!("a timeout of '{state}' must be true").into()),
        Answer::Output(Output { output }) => Ok(output),
        Answer::Error(Failed { error, cause }) => Err(Failure { error, cause }),
    };
    match &invocation.token {
        None => execution.returned(&invocation.task, result)?,
        Some(token) => {
            execution.returned(&invocation.task, Ok(Value::Null))?;
            execution.answered(token, result)?;
        }
    }
    Ok(now)
}

fn last_line(outcome: Outcome) -> LastLine {
    let (status, rest) = match outcome {
        Outcome::Succeeded { output } => ("SUCCEEDED", json!({ "output": output })),
        Outcome::Failed(Failure { error, cause }) => {
            ("FAILED", json!({ "error": error, "cause": cause }))
        }
        Outcome::TimedOut => ("TIMED_OUT", json!({ "error": "States.Timeout" })),
    };
    LastLine { status, rest }
}

#[cfg(test)]
mod tests;
