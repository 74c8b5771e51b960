//! Parses states: one function per state type.

use super::fields::Fields;
use super::parse::{Data, flow, next, result_path};
use super::{Flow, Kind, MAX_SECONDS, Next, Resource, Seconds, State, Task, Text, Until};
use crate::LoadError;
use crate::choice::parse::rules;
use crate::failure::{ALL, RESERVED};
use crate::millis::Millis;
use crate::path::Path;
use crate::retry::{Catcher, Retrier};
use crate::template::{Expression, Template};
use serde_json::Value;

/// The maximum of `MaxDelaySeconds`: 366 days.
const MAX_DELAY_SECONDS: u64 = 31_622_400;
const LAMBDA_INVOKE: &str = "arn:aws:states:::lambda:invoke";
const WAIT_FOR_TOKEN: &str = ".waitForTaskToken";

pub(super) fn parse(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    let kind = fields.require("Type")?;
    let Some(kind) = kind.as_str() else {
        return Err(fields.invalid("Type", "must be a string"));
    };
    match kind {
        "Task" => task(fields),
        "Choice" => choice(fields),
        "Wait" => wait(fields),
        "Pass" => pass(fields),
        "Succeed" => Ok(State { kind: Kind::Succeed, flow: flow(fields, Data::Paths)? }),
        "Fail" => fail(fields),
        "Parallel" | "Map" => Err(fields.unsupported("Type", format!("'{kind}'"))),
        _ => Err(fields.invalid("Type", format!("there is no type '{kind}'"))),
    }
}

fn choice(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    let rules = rules(fields)?;
    let default = fields.string("Default")?.map(|name| Next::State(name.to_owned()));
    Ok(State { kind: Kind::Choice { rules, default }, flow: flow(fields, Data::Paths)? })
}

fn pass(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    let result = fields.take("Result").cloned();
    let flow = flow(fields, Data::ParametersAndResult)?;
    Ok(State { kind: Kind::Pass { result, next: next(fields)? }, flow })
}

fn fail(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    let error = text(fields, "Error", "ErrorPath")?;
    let cause = text(fields, "Cause", "CausePath")?;
    Ok(State { kind: Kind::Fail { error, cause }, flow: Flow::unchanged() })
}

fn text(
    fields: &mut Fields<'_>,
    fixed: &'static str,
    path: &'static str,
) -> Result<Option<Text>, LoadError> {
    fields.not_both(fixed, path)?;
    if let Some(text) = fields.string(fixed)? {
        return Ok(Some(Text::Fixed(text.to_owned())));
    }
    let expression = fields.parsed(path, Expression::parse)?;
    Ok(expression.map(|expression| Text::Computed { field: path, expression }))
}

fn wait(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    const WAIT_FIELDS: [&str; 4] = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    let names = fields.entries().map(|(name, _)| name);
    let given: Vec<&str> = names.filter(|name| WAIT_FIELDS.contains(name)).collect();
    let until = match given.as_slice() {
        [] => return Err(fields.invalid("Seconds", "is required, or one of its alternatives")),
        [_, other, ..] => {
            return Err(fields.invalid(other, "cannot be combined with another wait field"));
        }
        ["Timestamp"] => {
            let parse = |text: &str| {
                Millis::from_rfc3339(text)
                    .ok_or_else(|| format!("'{text}' is not an RFC 3339 timestamp"))
            };
            fields.parsed("Timestamp", parse)?.map(Until::Timestamp)
        }
        ["TimestampPath"] => {
            fields.parsed("TimestampPath", Path::parse_reference)?.map(Until::TimestampPath)
        }
        _ => seconds(fields, "Seconds", "SecondsPath", 0)?.map(Until::Seconds),
    };
    let until = until.expect("one of the four fields is present");
    let flow = flow(fields, Data::Paths)?;
    Ok(State { kind: Kind::Wait { until, next: next(fields)? }, flow })
}

fn seconds(
    fields: &mut Fields<'_>,
    fixed: &'static str,
    path: &'static str,
    least: u64,
) -> Result<Option<Seconds>, LoadError> {
    fields.not_both(fixed, path)?;
    if let Some(seconds) = fields.integer(fixed, least, MAX_SECONDS)? {
        return Ok(Some(Seconds::Fixed(seconds)));
    }
    let parsed = fields.parsed(path, Path::parse_reference)?;
    Ok(parsed.map(|parsed| Seconds::Path { field: path, path: parsed }))
}

fn task(fields: &mut Fields<'_>) -> Result<State, LoadError> {
    let Some(name) = fields.string("Resource")? else {
        return Err(fields.invalid("Resource", "is required"));
    };
    let flow = flow(fields, Data::Everything)?;
    let timeout = seconds(fields, "TimeoutSeconds", "TimeoutSecondsPath", 1)?;
    let timeout = timeout.unwrap_or(Seconds::Fixed(MAX_SECONDS));
    let heartbeat = seconds(fields, "HeartbeatSeconds", "HeartbeatSecondsPath", 1)?;
    if let (Seconds::Fixed(timeout), Some(Seconds::Fixed(heartbeat))) = (&timeout, &heartbeat)
        && heartbeat >= timeout
    {
        return Err(fields.invalid("HeartbeatSeconds", "must be less than 'TimeoutSeconds'"));
    }
    let task = Task {
        resource: resource(fields, name, &flow)?,
        wait_for_token: name.ends_with(WAIT_FOR_TOKEN),
        timeout,
        heartbeat,
        retry: retriers(fields)?,
        catch: catchers(fields)?,
        next: next(fields)?,
    };
    Ok(State { kind: Kind::Task(Box::new(task)), flow })
}

fn resource(fields: &Fields<'_>, name: &str, flow: &Flow) -> Result<Resource, LoadError> {
    if name.is_empty() {
        return Err(fields.invalid("Resource", "is empty"));
    }
    if name.strip_suffix(WAIT_FOR_TOKEN).unwrap_or(name) != LAMBDA_INVOKE {
        return Ok(Resource::Named(name.to_owned()));
    }
    let Some(Template::Object(parameters)) = &flow.parameters else {
        return Err(fields.invalid("Parameters", "is required to name the function"));
    };
    if let Some((other, _)) =
        parameters.iter().find(|(name, _)| !["FunctionName", "Payload"].contains(&name.as_str()))
    {
        return Err(fields.unsupported(&format!("Parameters.{other}"), "this field"));
    }
    let find = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    let function = find("FunctionName");
    let function =
        function.ok_or_else(|| fields.invalid("Parameters.FunctionName", "is required"))?;
    if let Template::Constant(name) = &function
        && !name.is_string()
    {
        return Err(fields.invalid("Parameters.FunctionName", "must be a string"));
    }
    Ok(Resource::Lambda { function, payload: find("Payload") })
}

fn retriers(fields: &mut Fields<'_>) -> Result<Vec<Retrier>, LoadError> {
    list(fields, "Retry", |entry, errors| {
        let full_jitter = match entry.string("JitterStrategy")? {
            None | Some("NONE") => false,
            Some("FULL") => true,
            Some(_) => return Err(entry.invalid("JitterStrategy", "must be FULL or NONE")),
        };
        let backoff_rate = match entry.take("BackoffRate").map(Value::as_f64) {
            None => 2.0,
            Some(Some(rate)) if rate >= 1.0 => rate,
            Some(_) => return Err(entry.invalid("BackoffRate", "must be a number of at least 1.0")),
        };
        let max_attempts = entry.integer("MaxAttempts", 0, MAX_SECONDS)?.unwrap_or(3);
        Ok(Retrier {
            errors,
            interval_seconds: entry.integer("IntervalSeconds", 1, MAX_SECONDS)?.unwrap_or(1),
            max_attempts: u32::try_from(max_attempts).expect("the limit is below 2^32"),
            backoff_rate,
            max_delay_seconds: entry.integer("MaxDelaySeconds", 1, MAX_DELAY_SECONDS)?,
            full_jitter,
        })
    })
}

fn catchers(fields: &mut Fields<'_>) -> Result<Vec<Catcher>, LoadError> {
    list(fields, "Catch", |entry, errors| {
        let Some(next) = entry.string("Next")? else {
            return Err(entry.invalid("Next", "is required"));
        };
        Ok(Catcher { errors, next: Next::State(next.to_owned()), result_path: result_path(entry)? })
    })
}

/// Parses the entries of `Retry` or `Catch`, which share the rules for `ErrorEquals`.
fn list<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    parse: impl Fn(&mut Fields<'_>, Vec<String>) -> Result<T, LoadError>,
) -> Result<Vec<T>, LoadError> {
    let Some(entries) = fields.take(name) else { return Ok(Vec::new()) };
    let Some(entries) = entries.as_array() else {
        return Err(fields.invalid(name, "must be an array"));
    };
    let mut parsed = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let mut entry = fields.inner(&format!("{name}[{at}]"), entry)?;
        let errors = error_names(&mut entry, at + 1 == entries.len())?;
        parsed.push(parse(&mut entry, errors)?);
        entry.finish()?;
    }
    Ok(parsed)
}

fn error_names(entry: &mut Fields<'_>, last: bool) -> Result<Vec<String>, LoadError> {
    const FIELD: &str = "ErrorEquals";
    let Some(names) = entry.array(FIELD)? else {
        return Err(entry.invalid(FIELD, "is required"));
    };
    let strings = names.iter().map(|name| name.as_str().map(str::to_owned));
    let Some(errors) = strings.collect::<Option<Vec<String>>>() else {
        return Err(entry.invalid(FIELD, "must contain only strings"));
    };
    let reserved = |name: &&String| name.starts_with("States.");
    if let Some(name) = errors.iter().filter(reserved).find(|n| !RESERVED.contains(&n.as_str())) {
        return Err(entry.invalid(FIELD, format!("'{name}' is not a reserved error name")));
    }
    if errors.iter().any(|name| name == ALL) && (errors.len() > 1 || !last) {
        return Err(
            entry.invalid(FIELD, "States.ALL must be alone in its list and in the last entry")
        );
    }
    Ok(errors)
}
