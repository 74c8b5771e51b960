use time::format_description::well_known::Rfc3339;

use super::*;

fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).expect("an RFC 3339 time")
}

#[test]
fn times_are_printed_relative_to_now() {
    let now = at("2026-01-31T12:00:00.000Z");
    for (time, expected) in [
        ("2026-01-31T11:59:15.000Z", "45s ago"),
        ("2026-01-31T11:57:00.000Z", "3m ago"),
        ("2026-01-31T14:30:00.000Z", "in 2h"),
        ("2026-01-26T12:00:00.000Z", "5d ago"),
    ] {
        assert_eq!(relative(at(time), now), expected);
    }
}

#[test]
fn durations_have_milliseconds_only_below_a_second() {
    for (ms, expected) in [(0, "0ms"), (999, "999ms"), (3_449, "3.4s"), (125_000, "2m05s")] {
        assert_eq!(fine(Duration::from_millis(ms)), expected);
    }
}
