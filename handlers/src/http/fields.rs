//! Reads a JSON body strictly, and tells all that is wrong with it at once.

use std::{borrow::Cow, ops::RangeInclusive, str::FromStr};

use serde_json::{Map, Value};

use super::problem::{At, Code, Fault, Problem};

/// Why a value is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where, below the value that was read; most often the value itself.
    at: String,
    detail: Cow<'static, str>,
    too_large: bool,
}

impl Wrong {
    pub(super) fn new(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { at: String::new(), detail: detail.into(), too_large: false }
    }

    /// The value would be right if it were smaller.
    pub(super) fn too_large(most: usize) -> Self {
        let detail = format!("must not have more than {most} bytes");
        Self { too_large: true, ..Self::new(detail) }
    }

    /// The same, seen from the value around it.
    pub(super) fn below(mut self, key: impl AsRef<str>) -> Self {
        let key = key.as_ref().replace('~', "~0").replace('/', "~1");
        self.at.insert_str(0, &format!("/{key}"));
        self
    }
}

/// The fields of an object, taken one by one. What is left over is a fault.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    values: Map<String, Value>,
    at: String,
    faults: &'a mut Vec<Fault>,
}

/// Reads a body that is an object; an empty one counts as `{}`. `read` gives `None` only where it
/// left a fault.
pub(super) fn object<T>(
    body: &[u8],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let value = if body.is_empty() {
        Value::Object(Map::new())
    } else {
        // The message names a line and a column, and never what stands there.
        serde_json::from_slice(body)
            .map_err(|error| Problem::new(Code::MalformedJson, error.to_string()))?
    };
    let Value::Object(values) = value else {
        return Err(Problem::invalid(vec![Fault {
            at: At::Pointer(String::new()),
            detail: "must be an object".into(),
            too_large: false,
        }]));
    };
    let mut faults = Vec::new();
    let mut fields = Fields { values, at: String::new(), faults: &mut faults };
    let result = read(&mut fields);
    fields.finish();
    if faults.is_empty() {
        Ok(result.expect("whatever is missing leaves a fault"))
    } else {
        Err(Problem::invalid(faults))
    }
}

impl Fields<'_> {
    /// A field that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        read(value).map_err(|wrong| self.fault(wrong.below(name))).ok()
    }

    /// A field that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(name) {
            self.fault(Wrong::new("is required").below(name));
        }
        self.optional(name, read)
    }

    /// Whether there is such a field that nobody has taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A field that is an object with fields of its own.
    pub(super) fn nested<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let values = self.optional(name, map)?;
        let at = format!("{}/{name}", self.at);
        let mut fields = Fields { values, at, faults: self.faults };
        let result = read(&mut fields);
        fields.finish();
        result
    }

    /// Leaves a fault at a place below this object.
    pub(super) fn fault(&mut self, wrong: Wrong) {
        let Wrong { at, detail, too_large } = wrong;
        let at = At::Pointer(format!("{}{at}", self.at));
        self.faults.push(Fault { at, detail, too_large });
    }

    fn finish(mut self) {
        for name in std::mem::take(&mut self.values).into_iter().map(|(name, _)| name) {
            // A name without bounds would come back as an answer without bounds.
            let name: String = name.chars().take(128).collect();
            self.fault(Wrong::new("is unknown").below(name));
        }
    }
}

/// An object.
pub(super) fn map(value: Value) -> Result<Map<String, Value>, Wrong> {
    if let Value::Object(map) = value { Ok(map) } else { Err(Wrong::new("must be an object")) }
}

/// A list.
pub(super) fn list(value: Value) -> Result<Vec<Value>, Wrong> {
    if let Value::Array(list) = value { Ok(list) } else { Err(Wrong::new("must be an array")) }
}

/// A string.
pub(super) fn string(value: Value) -> Result<String, Wrong> {
    if let Value::String(text) = value { Ok(text) } else { Err(Wrong::new("must be a string")) }
}

/// A string of at most this many bytes that a C program can hold: without NUL.
pub(super) fn text(most: usize) -> impl Fn(Value) -> Result<String, Wrong> {
    move |value| {
        let text = string(value)?;
        if text.len() > most {
            return Err(Wrong::too_large(most));
        }
        if text.contains('\0') {
            return Err(Wrong::new("must not contain NUL"));
        }
        Ok(text)
    }
}

/// `true` or `false`.
pub(super) fn flag(value: Value) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| Wrong::new("must be true or false"))
}

/// A whole number within these bounds. JSON does not tell 1 from 1.0, and neither do we.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl Fn(Value) -> Result<u64, Wrong> {
    move |value| {
        let exact = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=1e15).contains(n));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        let number = value.as_u64().or(exact.map(|n| n as u64));
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            Wrong::new(format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }
}

/// One of these words.
pub(super) fn word<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(Value) -> Result<T, Wrong> {
    move |value| {
        let found = words.iter().find(|(word, _)| value == *word);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Wrong::new(format!("must be one of: {}", all.join(", ")))
        })
    }
}

/// Whatever can be read from a string; these words say what it must be.
pub(super) fn parsed<T: FromStr>(what: &'static str) -> impl Fn(Value) -> Result<T, Wrong> {
    move |value| string(value)?.parse().map_err(|_| Wrong::new(what))
}

#[cfg(test)]
mod tests;
