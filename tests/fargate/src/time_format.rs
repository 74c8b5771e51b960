//! Times as the API and the events write them.

use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

/// The current time.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Seconds since 1970 with milliseconds as the fraction: the format of JSON 1.1.
pub(crate) fn seconds(at: OffsetDateTime) -> Value {
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    json!(millis as f64 / 1000.0)
}

/// RFC 3339 in UTC with milliseconds: the format of events.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(format).unwrap_or_default()
}

/// RFC 3339 in UTC with seconds: the format of an event's envelope.
pub(crate) fn rfc3339_seconds(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at.format(format).unwrap_or_default()
}
