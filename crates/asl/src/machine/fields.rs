//! Reads the fields of one JSON object of a definition and refuses unknown fields.

use crate::load_error::{LoadError, Location};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A JSON object of the definition, its location, and which of its fields were read.
pub(crate) struct Fields<'d> {
    state: Option<&'d str>,
    prefix: String,
    map: &'d Map<String, Value>,
    read: BTreeSet<&'static str>,
}

impl<'d> Fields<'d> {
    pub(crate) fn new(state: Option<&'d str>, map: &'d Map<String, Value>) -> Self {
        Self { state, prefix: String::new(), map, read: BTreeSet::from(["Comment"]) }
    }

    /// The fields of an object nested in this one. `name` is the relative path: `Retry[0]`.
    pub(crate) fn inner(&self, name: &str, value: &'d Value) -> Result<Self, LoadError> {
        let Some(map) = value.as_object() else {
            return Err(self.invalid(name, "must be an object"));
        };
        let mut inner = Self::new(self.state, map);
        inner.prefix = format!("{}{name}.", self.prefix);
        Ok(inner)
    }

    pub(crate) fn location(&self, field: &str) -> Location {
        Location { state: self.state.map(str::to_owned), field: format!("{}{field}", self.prefix) }
    }

    pub(crate) fn invalid(&self, field: &str, problem: impl Into<String>) -> LoadError {
        LoadError::Invalid { location: self.location(field), problem: problem.into() }
    }

    pub(crate) fn unsupported(&self, field: &str, feature: impl Into<String>) -> LoadError {
        LoadError::Unsupported { location: self.location(field), feature: feature.into() }
    }

    /// The field's value, if the object has the field. Marks the field as known.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'d Value> {
        self.read.insert(name);
        self.map.get(name)
    }

    pub(crate) fn require(&mut self, name: &'static str) -> Result<&'d Value, LoadError> {
        self.take(name).ok_or_else(|| self.invalid(name, "is required"))
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<&'d str>, LoadError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be a string")),
        }
    }

    /// An integer from `least` to `most`, both included.
    pub(crate) fn integer(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, LoadError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(self.invalid(name, format!("must be an integer from {least} to {most}"))),
        }
    }

    /// A non-empty array.
    pub(crate) fn array(&mut self, name: &'static str) -> Result<Option<&'d [Value]>, LoadError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) if !items.is_empty() => Ok(Some(items)),
            Some(_) => Err(self.invalid(name, "must be an array that is not empty")),
        }
    }

    /// The parsed value of a string field.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, LoadError> {
        let text = self.string(name)?;
        text.map(|text| parse(text).map_err(|problem| self.invalid(name, problem))).transpose()
    }

    /// Refuses two mutually exclusive fields.
    pub(crate) fn not_both(&self, one: &str, other: &str) -> Result<(), LoadError> {
        if self.map.contains_key(one) && self.map.contains_key(other) {
            return Err(self.invalid(other, format!("cannot be combined with '{one}'")));
        }
        Ok(())
    }

    /// All fields of the object.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'d str, &'d Value)> + use<'d> {
        self.map.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Refuses the object if it has a field that was never read.
    pub(crate) fn finish(&self) -> Result<(), LoadError> {
        let unread = self.entries().find(|(name, _)| !self.read.contains(name));
        unread.map_or(Ok(()), |(name, _)| Err(self.unsupported(name, "this field")))
    }
}
