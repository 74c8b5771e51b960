//! Environment variables.

use std::{env, str::FromStr};

/// An environment variable is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} {wrong}")]
pub struct BadVariable {
    name: String,
    wrong: &'static str,
}

/// The variable's value; an empty one counts as none.
pub(crate) fn optional(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of a variable that must be there.
pub(crate) fn required(name: &str) -> Result<String, BadVariable> {
    optional(name).ok_or_else(|| BadVariable { name: name.to_owned(), wrong: "is not set" })
}

/// The variable read as a `T`; `default` if there is none.
pub(crate) fn parsed<T: FromStr>(name: &str, default: T) -> Result<T, BadVariable> {
    let Some(value) = optional(name) else { return Ok(default) };
    value.parse().map_err(|_| BadVariable { name: name.to_owned(), wrong: "can't be read" })
}
