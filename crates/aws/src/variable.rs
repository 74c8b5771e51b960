//! Environment variables.

use std::{collections::HashMap, env, fmt, ops::RangeInclusive, str::FromStr};

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

/// An environment. Some of it is secret.
#[derive(Clone)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Those of this process, as they are now.
    pub fn of_process() -> Self {
        let all = env::vars_os();
        let text = all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self(text.collect())
    }

    /// The variable's value; an empty one counts as none.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable that must be there.
    pub fn required(&self, name: &str) -> Result<&str, BadVariable> {
        self.optional(name)
            .ok_or_else(|| BadVariable { name: name.to_owned(), wrong: "is not set" })
    }

    /// The variable read as a `T`; `default` if there is none.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, default: T) -> Result<T, BadVariable> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        value.parse().map_err(|_| BadVariable::unreadable(name))
    }

    /// The variable read as a number within these bounds; `default` if there is none.
    pub(crate) fn in_range<T: FromStr + PartialOrd>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Result<T, BadVariable> {
        let value = self.parsed(name, default)?;
        let wrong = "is too small or too large";
        range
            .contains(&value)
            .then_some(value)
            .ok_or_else(|| BadVariable { name: name.to_owned(), wrong })
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
