//! The data that expressions of a state can access.

use crate::limits::{LimitError, MAX_BYTES, measure};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::Cell;

/// The maximum size in bytes of JSON of all values that the expressions of one field create,
/// intermediate results included. It bounds memory and time before the final result is measured.
const MAX_CREATED: usize = 16 * MAX_BYTES;

/// The context object, `$$`.
pub(crate) trait ContextObject {
    fn value(&self) -> &Value;
}

#[cfg(test)]
impl ContextObject for Value {
    fn value(&self) -> &Value {
        self
    }
}

/// The input (`$`) and the context object (`$$`) for the expressions of one field.
pub(crate) struct Scope<'a> {
    input: &'a Value,
    context: &'a dyn ContextObject,
    created: Cell<usize>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(input: &'a Value, context: &'a dyn ContextObject) -> Self {
        Self { input, context, created: Cell::new(0) }
    }

    pub(crate) fn input(&self) -> &'a Value {
        self.input
    }

    /// The root of a path.
    pub(crate) fn root(&self, in_context: bool) -> &'a Value {
        if in_context { self.context.value() } else { self.input }
    }

    /// Accounts for a created value of this many bytes.
    ///
    /// # Errors
    /// The values created so far exceed their limit.
    pub(crate) fn create(&self, bytes: usize) -> Result<(), LimitError> {
        let created = self.created.get() + bytes;
        self.created.set(created);
        if created > MAX_CREATED { Err(LimitError::Bytes) } else { Ok(()) }
    }

    /// Turns a selected value into an owned one. A copy is accounted for before it is made; an
    /// owned value was accounted for when it was created.
    pub(crate) fn own(&self, value: Cow<'_, Value>) -> Result<Value, LimitError> {
        if let Cow::Borrowed(borrowed) = &value {
            self.create(measure(borrowed)?)?;
        }
        Ok(value.into_owned())
    }
}
