//! The parts of a command, as start and execute take them.

use std::collections::BTreeMap;

use domain::command::Program;
use serde_json::Value;

use super::fields::{Wrong, list, map, string, text};

/// The longest line, or all arguments together. Bytes.
pub(super) const COMMAND_LIMIT: usize = 64 * 1024;
/// The most that a command can be given to read. Bytes.
const STDIN_LIMIT: usize = 128 * 1024;
/// All variables together. Bytes; well below what `execve` takes.
const ENV_LIMIT: usize = 64 * 1024;
/// The longest path that Linux takes. Bytes.
const PATH_LIMIT: usize = 4095;

/// A line for the shell, or a program with its arguments.
pub(super) fn program(value: Value) -> Result<Program, Wrong> {
    match value {
        Value::String(line) if line.is_empty() => Err(Wrong::new("must not be empty")),
        Value::String(_) => text(COMMAND_LIMIT)(value).map(Program::Shell),
        Value::Array(values) => argv(values).map(Program::Argv),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(Wrong::new("must be a string or an array of strings"))
        }
    }
}

fn argv(values: Vec<Value>) -> Result<Vec<String>, Wrong> {
    let mut bytes = 0;
    let mut argv = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let word = text(COMMAND_LIMIT)(value).map_err(|wrong| wrong.below(index.to_string()))?;
        bytes += word.len() + 1;
        argv.push(word);
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(Wrong::new("must begin with a program"));
    }
    if bytes > COMMAND_LIMIT { Err(Wrong::too_large(COMMAND_LIMIT)) } else { Ok(argv) }
}

/// Environment variables.
pub(super) fn env(value: Value) -> Result<BTreeMap<String, String>, Wrong> {
    let mut bytes = 0;
    let mut env = BTreeMap::new();
    for (name, value) in map(value)? {
        let read = if is_name(&name) {
            text(ENV_LIMIT)(value)
        } else {
            Err(Wrong::new("must be named by letters, digits and _, not beginning with a digit"))
        };
        let value =
            read.map_err(|wrong| wrong.below(name.chars().take(128).collect::<String>()))?;
        bytes += name.len() + value.len() + 2;
        env.insert(name, value);
    }
    if bytes > ENV_LIMIT { Err(Wrong::too_large(ENV_LIMIT)) } else { Ok(env) }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// An absolute directory.
pub(super) fn cwd(value: Value) -> Result<String, Wrong> {
    let path = text(PATH_LIMIT)(value)?;
    if path.starts_with('/') { Ok(path) } else { Err(Wrong::new("must begin with /")) }
}

/// A user of the image, by name or number, that is not root.
pub(super) fn user(value: Value) -> Result<String, Wrong> {
    let user = string(value)?;
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if user.is_empty() || user.len() > 64 || !user.bytes().all(sane) {
        return Err(Wrong::new("must be the name or the number of a user of the image"));
    }
    if user == "root" || user.bytes().all(|byte| byte == b'0') {
        return Err(Wrong::new("must not be root"));
    }
    Ok(user)
}

/// What the command reads. Any bytes that a JSON string can hold.
pub(super) fn stdin(value: Value) -> Result<Vec<u8>, Wrong> {
    let text = string(value)?;
    if text.len() > STDIN_LIMIT {
        Err(Wrong::too_large(STDIN_LIMIT))
    } else {
        Ok(text.into_bytes())
    }
}

/// The caller's own notes: at most 20 pairs.
pub(super) fn metadata(value: Value) -> Result<BTreeMap<String, String>, Wrong> {
    let map = map(value)?;
    if map.len() > 20 {
        return Err(Wrong::new("must not have more than 20 pairs"));
    }
    let pair = |(name, value): (String, Value)| {
        if name.is_empty() || name.len() > 64 {
            let shown: String = name.chars().take(64).collect();
            return Err(Wrong::new("must have a name of 1 to 64 bytes").below(shown));
        }
        let value = text(512)(value).map_err(|wrong| wrong.below(&name))?;
        Ok((name, value))
    };
    map.into_iter().map(pair).collect()
}

/// The names of things in a list.
pub(super) fn words<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let values = list(value)?.into_iter().enumerate();
    values.map(|(i, value)| read(value).map_err(|wrong| wrong.below(i.to_string()))).collect()
}
