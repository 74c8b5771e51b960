//! The rules of a Choice state.

pub(crate) mod parse;

use crate::failure::Failure;
use crate::millis::timestamp;
use crate::path::Path;
use serde_json::Value;
use std::cmp::Ordering;

/// A top-level rule: a test, and the state it leads to.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) test: Test,
    pub(crate) next: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Is { variable: Path, property: Property, expected: bool },
    Matches { variable: Path, pattern: String },
    Compare { variable: Path, kind: Kind, relation: Relation, operand: Operand },
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
pub(crate) enum Kind {
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

impl Test {
    /// Whether the test holds.
    ///
    /// # Errors
    /// A path that leads nowhere, unless only its presence is asked for.
    pub(crate) fn holds(&self, input: &Value, context: &Value) -> Result<bool, Failure> {
        let all = |tests: &[Self], stop: bool| {
            for test in tests {
                if test.holds(input, context)? == stop {
                    return Ok(stop);
                }
            }
            Ok(!stop)
        };
        match self {
            Self::And(tests) => all(tests, false),
            Self::Or(tests) => all(tests, true),
            Self::Not(test) => Ok(!test.holds(input, context)?),
            Self::Is { variable, property: Property::Present, expected } => {
                Ok(variable.select(input, context).is_some() == *expected)
            }
            Self::Is { variable, property, expected } => {
                Ok(property.fits(&look_up(variable, input, context)?) == *expected)
            }
            Self::Matches { variable, pattern } => {
                let value = look_up(variable, input, context)?;
                Ok(value.as_str().is_some_and(|text| matches(pattern, text)))
            }
            Self::Compare { variable, kind, relation, operand } => {
                let left = look_up(variable, input, context)?;
                let right = match operand {
                    Operand::Constant(value) => value.clone(),
                    Operand::Path(path) => look_up(path, input, context)?,
                };
                Ok(kind.compare(&left, &right).is_some_and(|order| relation.allows(order)))
            }
        }
    }
}

fn look_up(path: &Path, input: &Value, context: &Value) -> Result<Value, Failure> {
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

impl Kind {
    /// How the two compare; `None` if either is of another kind, which makes every test false.
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

/// Whether the text fits the pattern, where `*` stands for any text and `\` makes the next
/// character plain.
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
                // The last star takes one character more.
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
