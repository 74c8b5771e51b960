//! Moments, as milliseconds since 1970, and as the API and the events write them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// JSON 1.1 has seconds as a number with a fraction.
pub(crate) fn seconds(ms: u64) -> Value {
    json!(ms as f64 / 1000.0)
}

/// Events have RFC 3339 in UTC, here with milliseconds.
pub(crate) fn rfc3339(ms: u64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(form).ok()).unwrap_or_default()
}

/// To the second, as an event's envelope has it.
pub(crate) fn rfc3339_seconds(ms: u64) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(form).ok()).unwrap_or_default()
}
