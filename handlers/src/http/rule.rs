//! How single values of a request are read, and which values the API document says are accepted.
//!
//! A [`Rule`] has both: the function that reads a value and the JSON Schema of what that function
//! accepts. A test generates the document from these schemas, so the document follows the code.

use std::{borrow::Cow, fmt::Display, ops::RangeInclusive, str::FromStr};

use domain::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// A pattern of JSON Schema: text without NUL, which no C program can hold.
pub(super) const NO_NUL: &str = "^[^\\u0000]*$";

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The JSON pointer from the value that was read to the part that is refused; empty for the
    /// value itself.
    pub(super) pointer: String,
    pub(super) detail: Cow<'static, str>,
}

/// A function that reads a value, with the JSON Schema of the values that it accepts.
#[derive(Debug)]
pub(super) struct Rule<F> {
    pub(super) read: F,
    /// Filled in tests only; null in the product, which serves the generated document.
    pub(super) schema: Value,
}

/// Collects the rules that a request is read by, for the API document. Active in tests only.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) active: bool,
    /// Names with schemas, in the order of reading.
    pub(super) values: Vec<(String, Value)>,
    pub(super) required: Vec<String>,
}

impl FieldError {
    /// A refusal of the value itself. `detail` completes the sentence "the value ...".
    pub(super) fn new(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: String::new(), detail: detail.into() }
    }

    /// A value that exceeds this many bytes.
    pub(super) fn too_large(max_bytes: usize) -> Self {
        Self::new(format!("must not have more than {max_bytes} bytes"))
    }

    /// The same refusal, seen from the object or array that has the value under this key.
    pub(super) fn below(mut self, key: impl AsRef<str>) -> Self {
        let key = key.as_ref().replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{key}"));
        self
    }
}

impl<F> Rule<F> {
    /// A rule of a function and the schema of what the function accepts.
    pub(super) fn new(read: F, schema: impl FnOnce() -> Value) -> Self {
        Self { read, schema: if cfg!(test) { schema() } else { Value::Null } }
    }

    /// Says in the document what the value means here.
    pub(super) fn describe(self, description: &str) -> Self {
        self.with("description", &description)
    }

    /// Adds a keyword to the schema.
    pub(super) fn with(mut self, keyword: &str, value: &impl Serialize) -> Self {
        if cfg!(test) {
            self.schema[keyword] = json!(value);
        }
        self
    }
}

impl Recorder {
    /// Notes a value with its schema.
    pub(super) fn add(&mut self, name: &str, schema: &Value) {
        if self.active {
            self.values.push((name.to_owned(), schema.clone()));
        }
    }

    /// Notes that a value must be there.
    pub(super) fn require(&mut self, name: &str) {
        if self.active {
            self.required.push(name.to_owned());
        }
    }
}

/// The schema of a component of the document.
pub(super) fn component(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The schema of a component of the document, with the component.
pub(super) fn define(name: &str, schema: Value) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}"), "$defs": {name: schema}})
}

/// A string.
pub(super) fn string(value: Value) -> Result<String, FieldError> {
    if let Value::String(text) = value {
        Ok(text)
    } else {
        Err(FieldError::new("must be a string"))
    }
}

/// A string without NUL of at most this many bytes.
pub(super) fn bounded(value: Value, max_bytes: usize) -> Result<String, FieldError> {
    let text = string(value)?;
    if text.len() > max_bytes {
        return Err(FieldError::too_large(max_bytes));
    }
    if text.contains('\0') {
        return Err(FieldError::new("must not contain NUL"));
    }
    Ok(text)
}

/// A string without NUL of at most this many bytes.
pub(super) fn text(max_bytes: usize) -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    Rule::new(
        move |value| bounded(value, max_bytes),
        || json!({"type": "string", "maxLength": max_bytes, "pattern": NO_NUL}),
    )
}

/// The text of an id. Text that is not an id is accepted: the request then names no object (404).
pub(super) fn id(component_name: &str) -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    Rule::new(string, || component(component_name))
}

/// `true` or `false`.
pub(super) fn boolean() -> Rule<impl Fn(Value) -> Result<bool, FieldError>> {
    Rule::new(
        |value: Value| value.as_bool().ok_or_else(|| FieldError::new("must be true or false")),
        || json!({"type": "boolean"}),
    )
}

/// An integer within these bounds. In JSON, 1.0 is the same integer as 1.
pub(super) fn integer(
    range: RangeInclusive<u64>,
) -> Rule<impl Fn(Value) -> Result<u64, FieldError>> {
    let schema = integer_schema(&range);
    Rule::new(move |value: Value| within(&range, whole(&value)), || schema)
}

/// An integer within these bounds, written in digits: the value of a query parameter.
pub(super) fn digits<T: FromStr + Display + PartialOrd + Serialize>(
    range: RangeInclusive<T>,
) -> Rule<impl Fn(Value) -> Result<T, FieldError>> {
    let schema = integer_schema(&range);
    let read = move |value: Value| {
        let text = string(value)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        within(&range, text.parse().ok().filter(|_| digits))
    };
    Rule::new(read, || schema)
}

/// One of these values, as serde writes them.
pub(super) fn one_of<T: Copy + Serialize>(
    values: &[T],
) -> Rule<impl Fn(Value) -> Result<T, FieldError>> {
    let read = move |value: Value| {
        let found = values.iter().find(|known| json!(known) == value);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = values.iter().map(|known| json!(known)).collect();
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            FieldError::new(format!("must be one of: {}", names.join(", ")))
        })
    };
    Rule::new(read, || json!({"type": "string", "enum": values}))
}

/// A point in time.
pub(super) fn timestamp(value: Value) -> Result<Timestamp, FieldError> {
    let wrong = || FieldError::new("must be a time such as 2026-01-31T12:00:00.000Z");
    string(value)?.parse().map_err(|_| wrong())
}

fn integer_schema(range: &RangeInclusive<impl Serialize>) -> Value {
    json!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
}

fn whole(value: &Value) -> Option<u64> {
    let exact = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=1e15).contains(n));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number has no fraction and is within 0..=1e15"
    )]
    value.as_u64().or(exact.map(|n| n as u64))
}

fn within<T: Display + PartialOrd>(
    range: &RangeInclusive<T>,
    number: Option<T>,
) -> Result<T, FieldError> {
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        let (min, max) = (range.start(), range.end());
        FieldError::new(format!("must be a whole number from {min} to {max}"))
    })
}

#[cfg(test)]
mod tests;
