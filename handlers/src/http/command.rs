//! The parts of a command, as start and execute take them.

use std::collections::BTreeMap;

use domain::command::Program;
use serde_json::{Value, json};

use super::{
    fields::object,
    problem::{Code, Problem},
    rule::{FieldError, NO_NUL, Rule, bounded, define, string, text},
};
use crate::Policy;

/// The most bytes of a command line, or of all arguments together.
const COMMAND_LIMIT: usize = 64 * 1024;
/// The longest standard input of a command. Bytes.
const STDIN_LIMIT: usize = 128 * 1024;
/// All variables together. Bytes; well below the limit of `execve`.
const ENV_LIMIT: usize = 64 * 1024;
/// The longest path that Linux takes. Bytes.
const PATH_LIMIT: usize = 4095;
/// The most pairs of metadata.
const MAX_PAIRS: usize = 20;
/// The longest name of a pair. Bytes.
const MAX_KEY: usize = 64;
/// The longest value of a pair. Bytes.
const MAX_NOTE: usize = 512;
/// The most characters of a refused name that an answer repeats.
const MAX_NAME: usize = 128;

/// A command line for the shell, or a program with its arguments.
pub(super) fn program() -> Rule<impl Fn(Value) -> Result<Program, FieldError>> {
    let read = |value| match value {
        Value::String(line) if line.is_empty() => Err(FieldError::new("must not be empty")),
        Value::String(_) => bounded(value, COMMAND_LIMIT).map(Program::Shell),
        Value::Array(values) => argv(values).map(Program::Argv),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(FieldError::new("must be a string or an array of strings"))
        }
    };
    Rule::new(read, program_schema)
}

fn program_schema() -> Value {
    let line = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": COMMAND_LIMIT,
        "pattern": NO_NUL,
        "description": "A line, run as bash -c LINE or sh -c LINE.",
    });
    let argv = json!({
        "type": "array",
        "minItems": 1,
        // Each argument takes at least the byte that ends it.
        "maxItems": COMMAND_LIMIT,
        "prefixItems": [{"type": "string", "minLength": 1, "pattern": NO_NUL}],
        "items": {"type": "string", "pattern": NO_NUL},
        "description": "A program with its arguments, run as given.",
    });
    let description = format!("At most {COMMAND_LIMIT} bytes in all.");
    define("Program", json!({"oneOf": [line, argv], "description": description}))
}

fn argv(values: Vec<Value>) -> Result<Vec<String>, FieldError> {
    let mut bytes = 0;
    let mut argv = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let argument =
            bounded(value, COMMAND_LIMIT).map_err(|error| error.below(index.to_string()))?;
        bytes += argument.len() + 1;
        argv.push(argument);
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(FieldError::new("must begin with a program"));
    }
    if bytes > COMMAND_LIMIT { Err(FieldError::too_large(COMMAND_LIMIT)) } else { Ok(argv) }
}

/// Environment variables.
pub(super) fn env() -> Rule<impl Fn(Value) -> Result<BTreeMap<String, String>, FieldError>> {
    Rule::new(read_env, || {
        let schema = json!({
            "type": "object",
            "propertyNames": {"pattern": "^[^=\\u0000]+$"},
            "additionalProperties": {"type": "string", "pattern": NO_NUL},
            "description": format!("At most {ENV_LIMIT} bytes in all."),
        });
        define("Variables", schema)
    })
}

fn read_env(value: Value) -> Result<BTreeMap<String, String>, FieldError> {
    let mut bytes = 0;
    let mut env = BTreeMap::new();
    for (name, value) in object(value)? {
        let read = if is_name(&name) {
            bounded(value, ENV_LIMIT)
        } else {
            let detail = "must have a name that is not empty and contains neither = nor NUL";
            Err(FieldError::new(detail))
        };
        let value =
            read.map_err(|error| error.below(name.chars().take(MAX_NAME).collect::<String>()))?;
        bytes += name.len() + value.len() + 2;
        env.insert(name, value);
    }
    if bytes > ENV_LIMIT { Err(FieldError::too_large(ENV_LIMIT)) } else { Ok(env) }
}

/// Whether execve(2) can pass a variable of this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// An absolute directory.
pub(super) fn cwd() -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let read = |value| {
        let path = bounded(value, PATH_LIMIT)?;
        if path.starts_with('/') { Ok(path) } else { Err(FieldError::new("must begin with /")) }
    };
    Rule::new(
        read,
        || json!({"type": "string", "maxLength": PATH_LIMIT, "pattern": "^/[^\\u0000]*$"}),
    )
}

/// A user of the image, by name or number.
pub(super) fn user() -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let pattern = "^[A-Za-z0-9._-]{1,64}$";
    Rule::new(read_user, || json!({"type": "string", "pattern": pattern, "default": "shelluser"}))
        .describe("A user of the image, by name or number. Root is a 403 where it is not allowed.")
}

/// Refuses a command as root where that is not allowed. The shell itself refuses other names of root.
pub(super) fn check_user(user: Option<&str>, policy: &Policy) -> Result<(), Problem> {
    let is_root = |user: &str| user == "root" || user.bytes().all(|byte| byte == b'0');
    match &policy.refused_root {
        Some(reason) if user.is_some_and(is_root) => {
            Err(Problem::new(Code::RootDenied, format!("commands can't run as root: {reason}")))
        }
        _ => Ok(()),
    }
}

fn read_user(value: Value) -> Result<String, FieldError> {
    let user = string(value)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if user.is_empty() || user.len() > 64 || !user.bytes().all(allowed) {
        return Err(FieldError::new("must be the name or the number of a user of the image"));
    }
    Ok(user)
}

/// The command's standard input: any text, NUL included.
pub(super) fn stdin() -> Rule<impl Fn(Value) -> Result<Vec<u8>, FieldError>> {
    let read = |value| {
        let text = string(value)?;
        if text.len() > STDIN_LIMIT {
            return Err(FieldError::too_large(STDIN_LIMIT));
        }
        Ok(text.into_bytes())
    };
    Rule::new(read, || {
        let description = format!("At most {STDIN_LIMIT} bytes; then end of file.");
        json!({"type": "string", "maxLength": STDIN_LIMIT, "description": description})
    })
}

/// The caller's own notes: at most 20 pairs.
pub(super) fn metadata() -> Rule<impl Fn(Value) -> Result<BTreeMap<String, String>, FieldError>> {
    Rule::new(read_metadata, || {
        json!({
            "type": "object",
            "maxProperties": MAX_PAIRS,
            "propertyNames": {"minLength": 1, "maxLength": MAX_KEY},
            "additionalProperties": text(MAX_NOTE).schema,
            "description": "Your own notes; shown with the session and in its webhooks.",
        })
    })
}

fn read_metadata(value: Value) -> Result<BTreeMap<String, String>, FieldError> {
    let map = object(value)?;
    if map.len() > MAX_PAIRS {
        return Err(FieldError::new(format!("must not have more than {MAX_PAIRS} pairs")));
    }
    let pair = |(name, value): (String, Value)| {
        if name.is_empty() || name.len() > MAX_KEY {
            let shown: String = name.chars().take(MAX_KEY).collect();
            let detail = format!("must have a name of 1 to {MAX_KEY} bytes");
            return Err(FieldError::new(detail).below(shown));
        }
        let value = bounded(value, MAX_NOTE).map_err(|error| error.below(&name))?;
        Ok((name, value))
    };
    map.into_iter().map(pair).collect()
}
