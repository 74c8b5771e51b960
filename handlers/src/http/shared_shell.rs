//! The fields by which an execute asks for a shell whose state survives the command.

use domain::command::{Concurrency, Program};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    fields::Fields,
    rule::{FieldError, Rule, one_of, string},
};

/// The name of a shared shell unless the request has one.
const DEFAULT_NAME: &str = "default";
/// The longest name.
const MAX_NAME: usize = 64;

/// The fields that have no meaning in a shared shell, and why.
const OF_FRESH_SHELLS: [(&str, &str); 4] = [
    ("cwd", "must be absent if state is shared: run cd in the shell, or start the line with it"),
    (
        "env",
        "must be absent if state is shared: run export in the shell, or start the line with it",
    ),
    (
        "shell",
        "must be absent if state is shared: bash runs the shell where the image has it, else sh",
    ),
    ("background", "must be absent if state is shared: what a command leaves running always stays"),
];

/// Whose state a command line finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Fresh,
    Shared,
}

/// Reads the name of the shell that the command shares; none if it has a shell of its own. A command on a
/// terminal has, and was refused if it names another one.
pub(super) fn read(fields: &mut Fields<'_>, on_terminal: bool) -> Option<String> {
    let state = one_of(&[State::Fresh, State::Shared]).describe(
        "fresh: a new shell runs the command. shared: the session's shell of the name shellName runs it, \
         and keeps its working directory, variables, functions, exported environment, options and \
         background processes for the next command of that name. The command must be a line then, and \
         cwd, env, shell, background and a parallel concurrency must be absent.",
    );
    let state = fields.with_default("state", state, State::Fresh);
    if state == State::Fresh && fields.has("shellName") {
        let detail = "must be absent unless state is shared";
        fields.report(FieldError::new(detail).below("shellName"));
    }
    let name = name().describe(
        "Only if state is shared. A shell is started for the first command of its name and for the first \
         one after it has ended, as the user of that command; a session has at most 16 of them.",
    );
    let name = fields.with_default("shellName", name, DEFAULT_NAME.to_owned());
    if state == State::Fresh || on_terminal {
        return None;
    }
    for (field, detail) in OF_FRESH_SHELLS {
        if fields.has(field) {
            fields.report(FieldError::new(detail).below(field));
        }
    }
    Some(name)
}

/// Refuses what can't be done in a shared shell.
pub(super) fn check(fields: &mut Fields<'_>, program: Option<&Program>, concurrency: Concurrency) {
    if let Some(Program::Argv(_)) = program {
        let detail = "must be a command line if state is shared";
        fields.report(FieldError::new(detail).below("command"));
    }
    if concurrency == Concurrency::Parallel {
        let detail = "must be serial if state is shared";
        fields.report(FieldError::new(detail).below("concurrency"));
    }
}

fn name() -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let pattern = format!("^[A-Za-z0-9._-]{{1,{MAX_NAME}}}$");
    Rule::new(read_name, || json!({"type": "string", "pattern": pattern}))
}

fn read_name(value: Value) -> Result<String, FieldError> {
    let name = string(value)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(FieldError::new("must have 1 to 64 characters of A-Z a-z 0-9 . _ -"))
    }
}
