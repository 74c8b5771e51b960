//! The choice rules of a Choice state.

pub(crate) mod parse;

use crate::failure::Failure;
use crate::machine::Next;
use crate::millis::timestamp;
use crate::path::Path;
use serde_json::Value;
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
    pub(crate) fn holds(&self, input: &Value, context: &Value) -> Result<bool, Failure> {
        let all = |conditions: &[Self], stop: bool| {
            for condition in conditions {
                if condition.holds(input, context)? == stop {
                    return Ok(stop);
                }
            }
            Ok(!stop)
        };
        match self {
            Self::And(conditions) => all(conditions, false),
            Self::Or(conditions) => all(conditions, true),
            Self::Not(condition) => Ok(!condition.holds(input, context)?),
            Self::Is { variable, property: Property::Present, expected } => {
                Ok(variable.select(input, context).is_some() == *expected)
            }
            Self::Is { variable, property, expected } => {
                Ok(property.fits(&resolve(variable, input, context)?) == *expected)
            }
            Self::Matches { variable, pattern } => {
                let value = resolve(variable, input, context)?;
                Ok(value.as_str().is_some_and(|text| matches(pattern, text)))
            }
            Self::Compare { variable, kind, relation, operand } => {
                let left = resolve(variable, input, context)?;
                let right = match operand {
                    Operand::Constant(value) => value.clone(),
                    Operand::Path(path) => resolve(path, input, context)?,
                };
                Ok(kind.compare(&left, &right).is_some_and(|order| relation.allows(order)))
            }
        }
    }
}

fn resolve(path: &Path, input: &Value, context: &Value) -> Result<Value, Failure> {
    path.select(input, context).ok_or_else(|| {
        let path = path.text();
        Failure::runtime(format!(
            "invalid path '{path}': the choice state's condition path references an invalid value"
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
/// character literal.
fn matches(pattern: &str, text: &str) -> bool {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => None,
            '\\' => Some(chars.next().unwrap_or('\\')),
            _ => Some(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut token) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match tokens.get(token) {
            Some(None) => {
                star = Some((token, at));
                token += 1;
            }
            Some(Some(c)) if *c == text[at] => {
                at += 1;
                token += 1;
            }
            _ => match &mut star {
                // Backtrack: the most recent `*` matches one more character.
                Some((star_token, taken)) => {
                    *taken += 1;
                    (at, token) = (*taken, *star_token + 1);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(Option::is_none)
}

#[cfg(test)]
mod tests;
