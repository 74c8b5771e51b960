//! Why a definition was refused.

use std::fmt;

/// Why [`Machine::parse`](crate::Machine::parse) refused a definition.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The text is not JSON, or names a key twice in one object.
    #[error("the definition is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// It may be valid on AWS, but this interpreter does not do it.
    #[error("{place}: {what} is not supported")]
    Unsupported { place: Place, what: String },
    /// It is against the rules of the language.
    #[error("{place}: {problem}")]
    Invalid { place: Place, problem: String },
}

/// Where in a definition: a field, in a state or at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The state's name; `None` at the top level.
    pub state: Option<String>,
    /// The field's name, with the path to it if it is nested: `Retry[0].ErrorEquals`.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            Some(state) => write!(f, "state '{state}', field '{}'", self.field),
            None => write!(f, "top-level field '{}'", self.field),
        }
    }
}
