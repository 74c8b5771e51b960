//! The choice rules of a Choice state.

pub(crate) mod parse;

use crate::machine::Next;
use crate::millis::timestamp;
use crate::path::Path;
use crate::scope::Scope;
use crate::state_error::StateError;
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A top-level choice rule: a condition and the next state if the condition holds.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) condition: Condition,
    pub(crate) next: Next,
}

#[derive(Clone, Debug)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Is { variable: Path, property: Property, expected: bool },
    Matches { variable: Path, pattern: String },
    Compare { variable: Path, kind: ValueType, relation: Relation, operand: Operand },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    Present,
    Null,
    Boolean,
    Numeric,
    String,
    Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    Boolean,
    Numeric,
    String,
    Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Constant(Value),
    Path(Path),
}

impl Condition {
    /// Evaluates the condition.
    ///
    /// # Errors
    /// `States.Runtime` if a path selects nothing, except in `IsPresent`.
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool, StateError> {
        let all = |conditions: &[Self], stop: bool| {
            for condition in conditions {
                if condition.holds(scope)? == stop {
                    return Ok(stop);
                }
            }
            Ok(!stop)
        };
        match self {
            Self::And(conditions) => all(conditions, false),
            Self::Or(conditions) => all(conditions, true),
            Self::Not(condition) => Ok(!condition.holds(scope)?),
            Self::Is { variable, property: Property::Present, expected } => {
                Ok(variable.select(scope)?.is_some() == *expected)
            }
            Self::Is { variable, property, expected } => {
                Ok(property.fits(resolve(variable, scope)?.as_ref()) == *expected)
            }
            Self::Matches { variable, pattern } => {
                let value = resolve(variable, scope)?;
                Ok(value.as_str().is_some_and(|text| matches(pattern, text)))
            }
            Self::Compare { variable, kind, relation, operand } => {
                let left = resolve(variable, scope)?;
                let right = match operand {
                    Operand::Constant(value) => Cow::Borrowed(value),
                    Operand::Path(path) => resolve(path, scope)?,
                };
                Ok(kind.compare(&left, &right).is_some_and(|order| relation.allows(order)))
            }
        }
    }
}

fn resolve<'v>(path: &Path, scope: &Scope<'v>) -> Result<Cow<'v, Value>, StateError> {
    path.select(scope)?.ok_or_else(|| {
        let path = path.text();
        StateError::runtime(format!(
            "Invalid path '{path}': The choice state's condition path references an invalid value."
        ))
    })
}

impl Property {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Numeric => value.is_number(),
            Self::String => value.is_string(),
            Self::Timestamp => value.as_str().and_then(timestamp).is_some(),
        }
    }
}

impl ValueType {
    /// Compares two values; `None` if either has another type, which makes every comparison false.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Numeric => match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
            },
            // Java's String.compareTo: by UTF-16 units.
            Self::String => Some(left.as_str()?.encode_utf16().cmp(right.as_str()?.encode_utf16())),
            Self::Timestamp => Some(timestamp(left.as_str()?)?.cmp(&timestamp(right.as_str()?)?)),
        }
    }
}

impl Relation {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThan => order.is_gt(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }
}

/// Whether the whole text matches the pattern, in which `*` matches any text and `\` makes the next
/// character literal. The time is linear: each literal is searched once, at its first position.
fn matches(pattern: &str, text: &str) -> bool {
    let mut literals = literals(pattern);
    let last = literals.pop().unwrap_or_default();
    let Some((first, middle)) = literals.split_first() else { return text == last };
    let inner = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(&last));
    let found = middle.iter().try_fold(inner.unwrap_or_default(), |text, literal| {
        text.find(literal.as_str()).map(|at| &text[at + literal.len()..])
    });
    inner.is_some() && found.is_some()
}

/// The literals between the wildcards of a pattern; one more than there are wildcards.
fn literals(pattern: &str) -> Vec<String> {
    let mut literals = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, literals.last_mut()) {
            ('*', _) => literals.push(String::new()),
            ('\\', Some(literal)) => literal.push(chars.next().unwrap_or('\\')),
            (_, Some(literal)) => literal.push(c),
            (_, None) => {}
        }
    }
    literals
}

#[cfg(test)]
mod tests;
