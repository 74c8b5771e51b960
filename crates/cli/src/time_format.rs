//! Formats times and durations for people.

use std::time::Duration;

use time::OffsetDateTime;

/// `3m ago`, `in 2h`.
pub(crate) fn relative(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let distance = (at - now).unsigned_abs();
    if at > now { format!("in {}", coarse(distance)) } else { format!("{} ago", coarse(distance)) }
}

/// Hours, minutes, seconds and milliseconds, UTC.
pub(crate) fn clock(at: OffsetDateTime) -> String {
    let (h, m, s, ms) = at.time().as_hms_milli();
    format!("{h:02}:{m:02}:{s:02}.{ms:03}")
}

/// The largest unit only: `45s`, `3m`, `2h`, `5d`.
fn coarse(duration: Duration) -> String {
    match duration.as_secs() {
        s @ ..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// To the millisecond below a second: `12ms`, `3.4s`, `2m05s`.
pub(crate) fn fine(duration: Duration) -> String {
    let ms = duration.as_millis();
    match duration.as_secs() {
        0 => format!("{ms}ms"),
        s @ 1..60 => format!("{s}.{}s", (ms % 1000) / 100),
        s => format!("{}m{:02}s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests;
