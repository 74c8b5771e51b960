//! Parses the top level of a definition and the fields that several state types share.

use super::fields::Fields;
use super::{Flow, Machine, Next, State, check, states};
use crate::LoadError;
use crate::load_error::Location;
use crate::path::Path;
use crate::template::Template;
use serde_json::Value;
use std::collections::BTreeMap;

/// The maximum length of a state name, in characters (Step Functions service quotas).
const MAX_NAME: usize = 80;

pub(super) fn machine(json: &str) -> Result<Machine, LoadError> {
    let definition: Value = super::unique::parse(json).map_err(LoadError::Json)?;
    let Some(map) = definition.as_object() else {
        let location = Location { state: None, field: "States".to_owned() };
        let problem = "the definition is not an object".to_owned();
        return Err(LoadError::Invalid { location, problem });
    };
    let mut fields = Fields::new(None, map);
    json_path_only(&mut fields)?;
    if let Some(version) = fields.string("Version")?.filter(|version| *version != "1.0") {
        return Err(fields.unsupported("Version", format!("version '{version}'")));
    }
    let start_at = fields.require("StartAt")?;
    let start_at =
        start_at.as_str().ok_or_else(|| fields.invalid("StartAt", "must be a string"))?;
    let timeout_seconds = fields.integer("TimeoutSeconds", 1, super::MAX_SECONDS)?;
    let all = fields.require("States")?;
    let all = all.as_object().ok_or_else(|| fields.invalid("States", "must be an object"))?;
    fields.finish()?;
    let states = all
        .iter()
        .map(|(name, value)| Ok((name.clone(), state(&fields, name, value)?)))
        .collect::<Result<BTreeMap<_, _>, LoadError>>()?;
    let name = "StateMachine".to_owned();
    let machine = Machine { name, start_at: start_at.to_owned(), timeout_seconds, states };
    check::graph(&machine)?;
    Ok(machine)
}

fn state<'d>(top: &Fields<'d>, name: &'d str, value: &'d Value) -> Result<State, LoadError> {
    if name.is_empty() || name.chars().count() > MAX_NAME {
        let problem = format!("the state name '{name}' must have 1 to {MAX_NAME} characters");
        return Err(top.invalid("States", problem));
    }
    let Some(map) = value.as_object() else {
        return Err(top.invalid("States", format!("the state '{name}' must be an object")));
    };
    let mut fields = Fields::new(Some(name), map);
    json_path_only(&mut fields)?;
    let state = states::parse(&mut fields)?;
    fields.finish()?;
    Ok(state)
}

fn json_path_only(fields: &mut Fields<'_>) -> Result<(), LoadError> {
    match fields.string("QueryLanguage")? {
        None | Some("JSONPath") => Ok(()),
        Some(other) => Err(fields.unsupported("QueryLanguage", format!("'{other}'"))),
    }
}

/// The data fields that a state type has besides `InputPath` and `OutputPath`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Paths,
    ParametersAndResult,
    Everything,
}

pub(super) fn flow(fields: &mut Fields<'_>, data: Data) -> Result<Flow, LoadError> {
    let mut flow = Flow {
        input_path: path_or_null(fields, "InputPath", Path::parse)?,
        output_path: path_or_null(fields, "OutputPath", Path::parse)?,
        ..Flow::unchanged()
    };
    if data != Data::Paths {
        flow.parameters = template(fields, "Parameters")?;
        flow.result_path = result_path(fields)?;
    }
    if data == Data::Everything {
        flow.result_selector = template(fields, "ResultSelector")?;
    }
    Ok(flow)
}

/// A path field: `$` if it is absent, `None` if it is `null`.
fn path_or_null(
    fields: &mut Fields<'_>,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<Path, String>,
) -> Result<Option<Path>, LoadError> {
    if fields.take(name) == Some(&Value::Null) {
        return Ok(None);
    }
    Ok(Some(fields.parsed(name, parse)?.unwrap_or_else(Path::root)))
}

pub(super) fn result_path(fields: &mut Fields<'_>) -> Result<Option<Path>, LoadError> {
    path_or_null(fields, "ResultPath", |text| {
        let path = Path::parse_reference(text)?;
        if path.is_in_context() {
            Err("cannot point into the context object".into())
        } else {
            Ok(path)
        }
    })
}

fn template(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Template>, LoadError> {
    let Some(value) = fields.take(name) else { return Ok(None) };
    if !value.is_object() {
        return Err(fields.invalid(name, "must be an object"));
    }
    let template = Template::parse(value);
    template.map(Some).map_err(|(at, problem)| fields.invalid(&format!("{name}{at}"), problem))
}

pub(super) fn next(fields: &mut Fields<'_>) -> Result<Next, LoadError> {
    let next = fields.string("Next")?;
    match (next, fields.take("End")) {
        (Some(next), None | Some(Value::Bool(false))) => Ok(Next::State(next.to_owned())),
        (None, Some(Value::Bool(true))) => Ok(Next::End),
        (None, None) => Err(fields.invalid("Next", "is required, unless 'End' is true")),
        (Some(_), Some(Value::Bool(true))) => {
            Err(fields.invalid("End", "cannot be combined with 'Next'"))
        }
        (_, Some(_)) => Err(fields.invalid("End", "must be true")),
    }
}
