//! Times as people say them.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time, as the API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(OffsetDateTime);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(SystemTime::now().into())
    }

    /// How long after `earlier` this is; zero if it is before.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0 - earlier.0).unwrap_or_default()
    }

    /// `3m ago`, `in 2h`.
    pub(crate) fn relative(self, now: Self) -> String {
        if self > now {
            format!("in {}", coarse(self.since(now)))
        } else {
            format!("{} ago", coarse(now.since(self)))
        }
    }

    /// Hours, minutes, seconds and milliseconds, UTC.
    pub(crate) fn clock(self) -> String {
        let (h, m, s, ms) = self.0.time().as_hms_milli();
        format!("{h:02}:{m:02}:{s:02}.{ms:03}")
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The largest unit only: `45s`, `3m`, `2h`, `5d`.
pub(crate) fn coarse(span: Duration) -> String {
    match span.as_secs() {
        s @ ..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// To the millisecond where that matters: `12ms`, `3.4s`, `2m05s`.
pub(crate) fn fine(span: Duration) -> String {
    let ms = span.as_millis();
    match span.as_secs() {
        0 => format!("{ms}ms"),
        s @ 1..60 => format!("{s}.{}s", (ms % 1000) / 100),
        s => format!("{}m{:02}s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests;
