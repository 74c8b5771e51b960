//! Environment variables.

use std::{collections::HashMap, env, fmt, ops::RangeInclusive, str::FromStr};

/// An environment variable is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} {problem}")]
pub struct VariableError {
    name: String,
    problem: &'static str,
}

impl VariableError {
    /// The value cannot be parsed.
    pub(crate) fn invalid(name: &str) -> Self {
        Self { name: name.to_owned(), problem: "has an invalid value" }
    }
}

/// Environment variables. Some values are secret, so `Debug` shows only names.
#[derive(Clone)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// The current variables of this process.
    pub fn of_process() -> Self {
        let all = env::vars_os();
        let text = all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self(text.collect())
    }

    /// The variable's value; an empty value counts as none.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable that must be set.
    pub fn required(&self, name: &str) -> Result<&str, VariableError> {
        self.optional(name)
            .ok_or_else(|| VariableError { name: name.to_owned(), problem: "is not set" })
    }

    /// The variable parsed as a `T`; `default` if it is not set.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, default: T) -> Result<T, VariableError> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        value.parse().map_err(|_| VariableError::invalid(name))
    }

    /// The variable parsed as a `T`; none if it is not set.
    pub(crate) fn optional_parsed<T: FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, VariableError> {
        let parse = |value: &str| value.parse().map_err(|_| VariableError::invalid(name));
        self.optional(name).map(parse).transpose()
    }

    /// The variable parsed as a number in this range; `default` if it is not set.
    pub(crate) fn in_range<T: FromStr + PartialOrd>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Result<T, VariableError> {
        let value = self.parsed(name, default)?;
        let problem = "is out of range";
        range
            .contains(&value)
            .then_some(value)
            .ok_or_else(|| VariableError { name: name.to_owned(), problem })
    }
}

impl From<HashMap<String, String>> for Variables {
    fn from(variables: HashMap<String, String>) -> Self {
        Self(variables)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
