//! Payload templates: `Parameters` and `ResultSelector`, where fields ending in `.$` are computed.

use crate::intrinsic::Call;
use crate::path::Path;
use crate::scope::Scope;
use crate::state_error::StateError;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// An expression over the input and the context object: a path or an intrinsic function.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Path(Path),
    Call(Call),
}

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('$') {
            return Path::parse(text).map(Self::Path);
        }
        if text.starts_with("States.") {
            return Call::parse(text).map(Self::Call);
        }
        Err(format!("'{text}' is neither a path nor an intrinsic function"))
    }

    /// Evaluates the expression of the field `field`. As on AWS, an indefinite path that selects
    /// nothing evaluates to an empty array.
    ///
    /// # Errors
    /// A definite path selects nothing, an intrinsic function fails, or a value exceeds a limit.
    pub(crate) fn eval<'v>(
        &self,
        field: &str,
        scope: &Scope<'v>,
    ) -> Result<Cow<'v, Value>, StateError> {
        match self {
            Self::Path(path) => match path.select(scope)? {
                Some(value) => Ok(value),
                None if !path.is_definite() => Ok(Cow::Owned(json!([]))),
                None => Err(StateError::runtime(format!(
                    "The JSONPath '{}' specified for the field '{field}' could not be found in \
                     the input '{}'",
                    path.text(),
                    scope.input()
                ))),
            },
            Self::Call(call) => Ok(Cow::Owned(call.eval(scope)?)),
        }
    }
}

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Constant(Value),
    Computed { field: String, expression: Expression },
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
}

impl Template {
    /// Parses a template; the error is the path to the field and the problem.
    pub(crate) fn parse(value: &Value) -> Result<Self, (String, String)> {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| Self::parse_field(map, name, value))
                .collect::<Result<_, _>>()
                .map(Self::Object),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| Self::parse(item).map_err(|e| (format!("[{at}]{}", e.0), e.1)))
                .collect::<Result<_, _>>()
                .map(Self::Array),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Ok(Self::Constant(value.clone()))
            }
        }
    }

    fn parse_field(
        map: &Map<String, Value>,
        name: &str,
        value: &Value,
    ) -> Result<(String, Self), (String, String)> {
        let problem = |problem: String| (format!(".{name}"), problem);
        let Some(plain) = name.strip_suffix(".$") else {
            let inner = Self::parse(value).map_err(|e| (format!(".{name}{}", e.0), e.1))?;
            return Ok((name.to_owned(), inner));
        };
        if map.contains_key(plain) {
            return Err(problem(format!("the field '{plain}' is given twice")));
        }
        let text = value.as_str().ok_or_else(|| problem("must be a string".to_owned()))?;
        let expression = Expression::parse(text).map_err(problem)?;
        Ok((plain.to_owned(), Self::Computed { field: name.to_owned(), expression }))
    }

    /// Evaluates all expressions of the template.
    ///
    /// # Errors
    /// An expression fails, or the values exceed a limit.
    pub(crate) fn eval(&self, scope: &Scope<'_>) -> Result<Value, StateError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Computed { field, expression } => Ok(scope.own(expression.eval(field, scope)?)?),
            Self::Object(fields) => fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), value.eval(scope)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Self::Array(items) => items
                .iter()
                .map(|item| item.eval(scope))
                .collect::<Result<_, _>>()
                .map(Value::Array),
        }
    }
}
