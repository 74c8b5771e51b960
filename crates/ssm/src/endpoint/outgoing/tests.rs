use super::*;

#[test]
fn the_resend_timeout_follows_the_round_trips_up_to_a_second() {
    let mut resend_after = ResendAfter::default();
    assert_eq!(resend_after.value.as_millis(), 200);
    for (round_trip, expected) in [(100, 110), (20, 170), (20, 211), (20, 232), (5000, 1000)] {
        resend_after.measured(Duration::from_millis(round_trip));
        assert_eq!(resend_after.value.as_millis(), expected, "after {round_trip} ms");
    }
    for _ in 0..100 {
        resend_after.measured(Duration::from_millis(1));
    }
    assert!(resend_after.value < Duration::from_millis(20), "{:?}", resend_after.value);
}
