//! The error of [`Machine::parse`](crate::Machine::parse).

use std::fmt;

/// Why [`Machine::parse`](crate::Machine::parse) refused a definition.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The text is not JSON, or an object repeats a key.
    #[error("the definition is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// The definition may be valid on AWS, but this interpreter does not implement `feature`.
    #[error("{location}: {feature} is not supported")]
    Unsupported { location: Location, feature: String },
    /// The definition violates a rule of the language.
    #[error("{location}: {problem}")]
    Invalid { location: Location, problem: String },
}

/// A location in a definition: a field of a state or of the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The state's name; `None` at the top level.
    pub state: Option<String>,
    /// The field's name, including the path to a nested field: `Retry[0].ErrorEquals`.
    pub field: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            Some(state) => write!(f, "state '{state}', field '{}'", self.field),
            None => write!(f, "top-level field '{}'", self.field),
        }
    }
}
