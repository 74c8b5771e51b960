//! A point in time, as milliseconds since the Unix epoch.

use serde::{Deserialize, Serialize};
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z. Displayed as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// Parses an RFC 3339 timestamp, rounded down to a millisecond; `None` if `text` is not one.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let timestamp = timestamp(text)?;
        i64::try_from(timestamp.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    pub(crate) fn plus_seconds(self, seconds: u64) -> Self {
        let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    pub(crate) fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return write!(f, "{}ms", self.0);
        };
        let (date, time) = (at.date(), at.time());
        write!(f, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day())?;
        let (hour, minute, second, milli) = time.as_hms_milli();
        write!(f, "{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Parses a timestamp as the specification requires: RFC 3339 with an uppercase `T`, and an
/// uppercase `Z` if there is no offset.
pub(crate) fn timestamp(text: &str) -> Option<OffsetDateTime> {
    if text.as_bytes().get(10) != Some(&b'T') || text.ends_with('z') {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
