//! Environment variables.

use std::{env, ops::RangeInclusive, str::FromStr};

/// An environment variable is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} {wrong}")]
pub struct BadVariable {
    name: String,
    wrong: &'static str,
}

impl BadVariable {
    /// It is none of what it may be.
    pub(crate) fn unreadable(name: &str) -> Self {
        Self { name: name.to_owned(), wrong: "can't be read" }
    }
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
    value.parse().map_err(|_| BadVariable::unreadable(name))
}

/// The variable read as a number within these bounds; `default` if there is none.
pub(crate) fn in_range<T: FromStr + PartialOrd>(
    name: &str,
    range: RangeInclusive<T>,
    default: T,
) -> Result<T, BadVariable> {
    let value = parsed(name, default)?;
    let wrong = "is too small or too large";
    range
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| BadVariable { name: name.to_owned(), wrong })
}
