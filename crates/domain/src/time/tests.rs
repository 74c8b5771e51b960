use proptest::prelude::*;

use super::*;

#[test]
fn a_time_is_written_in_utc_with_milliseconds() {
    assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Timestamp::from_millis(1_769_860_800_007).to_string(), "2026-01-31T12:00:00.007Z");
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
}

#[test]
fn another_offset_names_the_same_moment() {
    let utc: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    assert_eq!("2026-01-31T13:00:00.000+01:00".parse(), Ok(utc));
    assert_eq!("yesterday".parse::<Timestamp>(), Err(ParseTimeError));
}

#[test]
fn a_clock_that_went_back_gives_no_time_between() {
    let late = Timestamp::from_millis(500);
    assert_eq!(Timestamp::from_millis(100).since(late), Duration::ZERO);
    assert_eq!(late.since(Timestamp::from_millis(100)), Duration::from_millis(400));
}

proptest! {
    #[test]
    fn every_time_reads_back_from_its_text(millis in 0..Timestamp::MAX.millis()) {
        let at = Timestamp::from_millis(millis);
        prop_assert_eq!(at.to_string().parse(), Ok(at));
    }
}
