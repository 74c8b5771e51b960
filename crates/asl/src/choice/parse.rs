//! From the `Choices` of a definition to [`Rule`]s.

use super::{Kind, Operand, Property, Relation, Rule, Test};
use crate::LoadError;
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
const KINDS: &[(&str, Kind)] = &[
    ("Boolean", Kind::Boolean),
    ("Numeric", Kind::Numeric),
    ("String", Kind::String),
    ("Timestamp", Kind::Timestamp),
];
const PROPERTIES: &[(&str, Property)] = &[
    ("IsPresent", Property::Present),
    ("IsNull", Property::Null),
    ("IsBoolean", Property::Boolean),
    ("IsNumeric", Property::Numeric),
    ("IsString", Property::String),
    ("IsTimestamp", Property::Timestamp),
];

/// The rules of a Choice state.
pub(crate) fn rules(fields: &mut Fields<'_>) -> Result<Vec<Rule>, LoadError> {
    let Some(choices) = fields.array("Choices")? else {
        return Err(fields.invalid("Choices", "is required"));
    };
    let rule = |(at, value)| {
        let mut rule = fields.inner(&format!("Choices[{at}]"), value)?;
        let Some(next) = rule.string("Next")? else {
            return Err(rule.invalid("Next", "is required"));
        };
        Ok(Rule { test: test(&mut rule)?, next: next.to_owned() })
    };
    choices.iter().enumerate().map(rule).collect()
}

/// The one comparison of a rule. What surrounds it is checked here, so no field stays unread.
fn test(rule: &mut Fields<'_>) -> Result<Test, LoadError> {
    let around = ["Comment", "Next", "Variable"];
    let comparisons: Vec<_> = rule.entries().filter(|(name, _)| !around.contains(name)).collect();
    let (operator, value) = match comparisons.as_slice() {
        [one] => *one,
        [] => return Err(rule.invalid("Variable", "a comparison is missing beside it")),
        [_, (other, _), ..] => {
            return Err(rule.invalid(other, "cannot stand beside another comparison"));
        }
    };
    if ["And", "Or", "Not"].contains(&operator) && rule.take("Variable").is_some() {
        return Err(rule.invalid("Variable", format!("cannot stand beside '{operator}'")));
    }
    match operator {
        "And" => inner_tests(rule, operator, value).map(Test::And),
        "Or" => inner_tests(rule, operator, value).map(Test::Or),
        "Not" => inner_test(rule, operator, value).map(|inner| Test::Not(Box::new(inner))),
        _ => comparison(rule, operator, value),
    }
}

fn inner_tests(rule: &Fields<'_>, name: &str, value: &Value) -> Result<Vec<Test>, LoadError> {
    let rules = value.as_array().filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| rule.invalid(name, "must be an array that is not empty"))?;
    let inner = |(at, value)| inner_test(rule, &format!("{name}[{at}]"), value);
    rules.iter().enumerate().map(inner).collect()
}

fn inner_test(rule: &Fields<'_>, name: &str, value: &Value) -> Result<Test, LoadError> {
    let mut inner = rule.inner(name, value)?;
    if inner.take("Next").is_some() {
        return Err(inner.invalid("Next", "can stand in a top-level rule only"));
    }
    test(&mut inner)
}

fn comparison(rule: &mut Fields<'_>, operator: &str, value: &Value) -> Result<Test, LoadError> {
    let Some(variable) = rule.parsed("Variable", Path::parse_reference)? else {
        return Err(rule.invalid("Variable", "is required"));
    };
    if let Some((_, property)) = PROPERTIES.iter().find(|(name, _)| *name == operator) {
        let expected = value.as_bool();
        let expected = expected.ok_or_else(|| rule.invalid(operator, "must be true or false"))?;
        return Ok(Test::Is { variable, property: *property, expected });
    }
    if operator == "StringMatches" {
        let pattern = value.as_str();
        let pattern = pattern.ok_or_else(|| rule.invalid(operator, "must be a string"))?;
        return Ok(Test::Matches { variable, pattern: pattern.to_owned() });
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
    Ok(Test::Compare { variable, kind, relation, operand })
}

/// `NumericLessThan` is a kind and a relation; booleans know equality only.
fn split(operator: &str) -> Option<(Kind, Relation)> {
    let (name, kind) = KINDS.iter().find(|(name, _)| operator.starts_with(name))?;
    let (_, relation) =
        RELATIONS.iter().find(|(relation, _)| operator[name.len()..] == **relation)?;
    (*kind != Kind::Boolean || *relation == Relation::Equals).then_some((*kind, *relation))
}
