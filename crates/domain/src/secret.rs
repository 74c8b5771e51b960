//! Values that must not appear in a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that `Debug` does not show: a token, a key, a command, its input or its output. `Serialize`
/// writes the value itself, for records and messages.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps the value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the code that must use it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, without the wrapper.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}
