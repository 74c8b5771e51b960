//! Reads the fields of one JSON object of a definition, and refuses those that nobody read.

use crate::load_error::{LoadError, Place};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// An object of the definition, and where it is.
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

    /// The fields of an object inside this one. `name` is the path to it: `Retry[0]`.
    pub(crate) fn inner(&self, name: &str, value: &'d Value) -> Result<Self, LoadError> {
        let Some(map) = value.as_object() else {
            return Err(self.invalid(name, "must be an object"));
        };
        let mut inner = Self::new(self.state, map);
        inner.prefix = format!("{}{name}.", self.prefix);
        Ok(inner)
    }

    pub(crate) fn place(&self, field: &str) -> Place {
        Place { state: self.state.map(str::to_owned), field: format!("{}{field}", self.prefix) }
    }

    pub(crate) fn invalid(&self, field: &str, problem: impl Into<String>) -> LoadError {
        LoadError::Invalid { place: self.place(field), problem: problem.into() }
    }

    pub(crate) fn unsupported(&self, field: &str, what: impl Into<String>) -> LoadError {
        LoadError::Unsupported { place: self.place(field), what: what.into() }
    }

    /// The field's value, if the object has it.
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

    /// An integer between `least` and `most`.
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

    /// Something parsed from a string field.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, LoadError> {
        let text = self.string(name)?;
        text.map(|text| parse(text).map_err(|problem| self.invalid(name, problem))).transpose()
    }

    /// Refuses two fields that say the same thing.
    pub(crate) fn not_both(&self, one: &str, other: &str) -> Result<(), LoadError> {
        if self.map.contains_key(one) && self.map.contains_key(other) {
            return Err(self.invalid(other, format!("cannot stand beside '{one}'")));
        }
        Ok(())
    }

    /// All fields, read or not.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'d str, &'d Value)> + use<'d> {
        self.map.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Refuses the first field that was not read.
    pub(crate) fn finish(&self) -> Result<(), LoadError> {
        let unread = self.entries().find(|(name, _)| !self.read.contains(name));
        unread.map_or(Ok(()), |(name, _)| Err(self.unsupported(name, "this field")))
    }
}
