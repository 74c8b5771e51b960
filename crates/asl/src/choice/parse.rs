//! Parses the `Choices` of a definition into [`Rule`]s.

use super::{Condition, Operand, Property, Relation, Rule, ValueType};
use crate::LoadError;
use crate::machine::Next;
use crate::machine::fields::Fields;
use crate::path::Path;
use serde_json::Value;

const RELATIONS: &[(&str, Relation)] = &[
    ("Equals", Relation::Equals),
    ("LessThan", Relation::LessThan),
    ("LessThanEquals", Relation::LessThanEquals),
    ("GreaterThan", Relation::GreaterThan),
    ("GreaterThanEquals", Relation::GreaterThanEquals),
];
const VALUE_TYPES: &[(&str, ValueType)] = &[
    ("Boolean", ValueType::Boolean),
    ("Numeric", ValueType::Numeric),
    ("String", ValueType::String),
    ("Timestamp", ValueType::Timestamp),
];
const PROPERTIES: &[(&str, Property)] = &[
    ("IsPresent", Property::Present),
    ("IsNull", Property::Null),
    ("IsBoolean", Property::Boolean),
    ("IsNumeric", Property::Numeric),
    ("IsString", Property::String),
    ("IsTimestamp", Property::Timestamp),
];

/// Parses the rules of a Choice state.
pub(crate) fn rules(fields: &mut Fields<'_>) -> Result<Vec<Rule>, LoadError> {
    let Some(choices) = fields.array("Choices")? else {
        return Err(fields.invalid("Choices", "is required"));
    };
    let rule = |(at, value)| {
        let mut rule = fields.inner(&format!("Choices[{at}]"), value)?;
        let Some(next) = rule.string("Next")? else {
            return Err(rule.invalid("Next", "is required"));
        };
        Ok(Rule { condition: condition(&mut rule)?, next: Next::State(next.to_owned()) })
    };
    choices.iter().enumerate().map(rule).collect()
}

/// Parses the single comparison of a rule and refuses every other field.
fn condition(rule: &mut Fields<'_>) -> Result<Condition, LoadError> {
    let known = ["Comment", "Next", "Variable"];
    let comparisons: Vec<_> = rule.entries().filter(|(name, _)| !known.contains(name)).collect();
    let (operator, value) = match comparisons.as_slice() {
        [one] => *one,
        [] => return Err(rule.invalid("Variable", "requires a comparison")),
        [_, (other, _), ..] => {
            return Err(rule.invalid(other, "cannot be combined with another comparison"));
        }
    };
    if ["And", "Or", "Not"].contains(&operator) && rule.take("Variable").is_some() {
        return Err(rule.invalid("Variable", format!("cannot be combined with '{operator}'")));
    }
    match operator {
        "And" => inner_conditions(rule, operator, value).map(Condition::And),
        "Or" => inner_conditions(rule, operator, value).map(Condition::Or),
        "Not" => {
            inner_condition(rule, operator, value).map(|inner| Condition::Not(Box::new(inner)))
        }
        _ => comparison(rule, operator, value),
    }
}

fn inner_conditions(
    rule: &Fields<'_>,
    name: &str,
    value: &Value,
) -> Result<Vec<Condition>, LoadError> {
    let rules = value.as_array().filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| rule.invalid(name, "must be an array that is not empty"))?;
    let inner = |(at, value)| inner_condition(rule, &format!("{name}[{at}]"), value);
    rules.iter().enumerate().map(inner).collect()
}

fn inner_condition(rule: &Fields<'_>, name: &str, value: &Value) -> Result<Condition, LoadError> {
    let mut inner = rule.inner(name, value)?;
    if inner.take("Next").is_some() {
        return Err(inner.invalid("Next", "is only allowed in a top-level rule"));
    }
    condition(&mut inner)
}

fn comparison(
    rule: &mut Fields<'_>,
    operator: &str,
    value: &Value,
) -> Result<Condition, LoadError> {
    let Some(variable) = rule.parsed("Variable", Path::parse_reference)? else {
        return Err(rule.invalid("Variable", "is required"));
    };
    if let Some((_, property)) = PROPERTIES.iter().find(|(name, _)| *name == operator) {
        let expected = value.as_bool();
        let expected = expected.ok_or_else(|| rule.invalid(operator, "must be true or false"))?;
        return Ok(Condition::Is { variable, property: *property, expected });
    }
    if operator == "StringMatches" {
        let pattern = value.as_str();
        let pattern = pattern.ok_or_else(|| rule.invalid(operator, "must be a string"))?;
        return Ok(Condition::Matches { variable, pattern: pattern.to_owned() });
    }
    let plain = operator.strip_suffix("Path").unwrap_or(operator);
    let Some((kind, relation)) = split(plain) else {
        return Err(rule.unsupported(operator, "this comparison"));
    };
    let operand = if plain == operator {
        if kind.compare(value, value).is_none() {
            return Err(rule.invalid(operator, "has a value of another type"));
        }
        Operand::Constant(value.clone())
    } else {
        let text = value.as_str().ok_or_else(|| rule.invalid(operator, "must be a path"))?;
        let path = Path::parse_reference(text);
        Operand::Path(path.map_err(|problem| rule.invalid(operator, problem))?)
    };
    Ok(Condition::Compare { variable, kind, relation, operand })
}

/// Splits `NumericLessThan` into type and relation; booleans support only equality.
fn split(operator: &str) -> Option<(ValueType, Relation)> {
    let (name, kind) = VALUE_TYPES.iter().find(|(name, _)| operator.starts_with(name))?;
    let (_, relation) =
        RELATIONS.iter().find(|(relation, _)| operator[name.len()..] == **relation)?;
    (*kind != ValueType::Boolean || *relation == Relation::Equals).then_some((*kind, *relation))
}
