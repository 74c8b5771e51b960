//! The limits on data: its size and its nesting depth. No function here recurses, so data of any
//! depth can be measured and dropped.

use serde::{Deserialize, Serialize};
use serde_json::{Value, map};
use std::slice;

/// The maximum size of a state's input, result or output in bytes of JSON (Step Functions service
/// quotas).
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// The maximum number of nested arrays and objects. The limit lets the rest of the interpreter
/// recurse on checked data, and keeps a stored execution readable: `serde_json` reads 127 levels.
pub(crate) const MAX_DEPTH: usize = 100;

/// The limit that a value exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LimitError {
    /// The value has more than [`MAX_BYTES`] bytes of JSON.
    Bytes,
    /// The value is nested deeper than [`MAX_DEPTH`].
    Depth,
}

/// The size of a value in bytes of compact JSON.
///
/// # Errors
/// The value exceeds a limit. The work is bounded by the limits, not by the size of the value.
pub(crate) fn measure(value: &Value) -> Result<usize, LimitError> {
    let mut bytes = 0;
    let mut open: Vec<Children<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next {
            bytes += size_without_children(value);
            if bytes > MAX_BYTES {
                return Err(LimitError::Bytes);
            }
            if matches!(value, Value::Array(_) | Value::Object(_)) {
                if open.len() == MAX_DEPTH {
                    return Err(LimitError::Depth);
                }
                open.push(Children::of(value));
            }
        } else {
            open.pop();
        }
        match open.last_mut() {
            Some(children) => next = children.next(),
            None => return Ok(bytes),
        }
    }
}

/// Drops a value of any depth. The destructor of `Value` recurses and overflows the stack on data
/// nested some ten thousand levels deep.
pub(crate) fn drop_deep(value: Value) {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        match value {
            Value::Array(items) => values.extend(items),
            Value::Object(map) => values.extend(map.into_iter().map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Iterates over the items of an array or the values of an object.
pub(crate) enum Children<'v> {
    Items(slice::Iter<'v, Value>),
    Values(map::Values<'v>),
}

impl<'v> Children<'v> {
    /// The children of a value; a scalar has none.
    pub(crate) fn of(value: &'v Value) -> Self {
        match value {
            Value::Array(items) => Self::Items(items.iter()),
            Value::Object(map) => Self::Values(map.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Self::Items([].iter())
            }
        }
    }
}

impl<'v> Iterator for Children<'v> {
    type Item = &'v Value;

    fn next(&mut self) -> Option<&'v Value> {
        match self {
            Self::Items(items) => items.next(),
            Self::Values(values) => values.next(),
        }
    }
}

fn size_without_children(value: &Value) -> usize {
    let brackets_and_commas = |count: usize| 2 + count.saturating_sub(1);
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => size_of_string(text),
        Value::Array(items) => brackets_and_commas(items.len()),
        Value::Object(map) => {
            let keys = map.keys().map(|key| size_of_string(key) + 1);
            brackets_and_commas(map.len()) + keys.sum::<usize>()
        }
    }
}

fn size_of_string(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | 0x08 | 0x0c | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

#[cfg(test)]
mod tests;
