//! The times that a state's fields name: the end of a Wait state, the timeouts of a task.

use crate::Millis;
use crate::machine::{MAX_SECONDS, Seconds, Until};
use crate::path::Path;
use crate::scope::Scope;
use crate::state_error::StateError;
use serde_json::Value;

/// The maximum delay of a Wait state in seconds, as recorded on AWS: 24,855 days succeed, 24,856 fail.
const MAX_WAIT_SECONDS: i64 = 2_147_483_647;

impl Until {
    /// The end of a wait that began at `from`.
    ///
    /// # Errors
    /// A path does not select a valid time, or the wait is too long.
    pub(super) fn resolve(&self, from: Millis, scope: &Scope<'_>) -> Result<Millis, StateError> {
        let until = match self {
            Self::Seconds(Seconds::Fixed(seconds)) => from.plus_seconds(*seconds),
            Self::Seconds(Seconds::Path { path, .. }) => from.plus_seconds(seconds(path, scope)?),
            Self::Timestamp(timestamp) => *timestamp,
            Self::TimestampPath(path) => timestamp(path, scope)?,
        };
        if until.0.saturating_sub(from.0) > MAX_WAIT_SECONDS * 1000 {
            return Err(StateError::runtime("Wait state delay is too long."));
        }
        Ok(until)
    }
}

fn seconds(path: &Path, scope: &Scope<'_>) -> Result<u64, StateError> {
    let value = path.select(scope)?;
    let text = path.text();
    let problem = match value.as_deref() {
        None => format!("The SecondsPath parameter does not reference an input value: {text}"),
        Some(value) => match (value.as_u64(), value.as_i64()) {
            (Some(seconds), _) => return Ok(seconds),
            (None, Some(_)) => {
                format!("The SecondsPath parameter references a negative value: {text} == {value}")
            }
            (None, None) => format!(
                "The SecondsPath parameter cannot be parsed as a long value: {text} == {value}"
            ),
        },
    };
    Err(StateError::runtime(problem))
}

fn timestamp(path: &Path, scope: &Scope<'_>) -> Result<Millis, StateError> {
    let value = path.select(scope)?;
    let text = path.text();
    let Some(value) = value.as_deref() else {
        let cause =
            format!("The TimestampPath parameter does not reference an input value: {text}");
        return Err(StateError::runtime(cause));
    };
    let timestamp = value.as_str().and_then(Millis::from_rfc3339);
    timestamp.ok_or_else(|| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        StateError::runtime(format!(
            "The TimestampPath parameter does not reference a valid ISO-8601 extended offset \
             date-time format string: {text} == {value}"
        ))
    })
}

impl Seconds {
    /// The number of seconds of a timeout, from 1 to [`MAX_SECONDS`].
    ///
    /// # Errors
    /// A path does not select a valid number.
    pub(super) fn timeout(&self, scope: &Scope<'_>) -> Result<u64, StateError> {
        let (field, path) = match self {
            Self::Fixed(seconds) => return Ok(*seconds),
            Self::Path { field, path } => (field, path),
        };
        let value = path.require(scope)?;
        let seconds = value.as_u64().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        seconds.ok_or_else(|| out_of_range(field, path, &value))
    }
}

fn out_of_range(field: &str, path: &Path, value: &Value) -> StateError {
    let path = path.text();
    StateError::runtime(format!(
        "The {field} parameter does not reference an integer from 1 to {MAX_SECONDS}: \
         {path} == {value}"
    ))
}
