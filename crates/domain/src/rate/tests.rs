use super::*;

/// Two tokens a minute, of which three may be taken at once.
fn rate() -> Rate {
    Rate::per_minute(NonZeroU32::new(2).unwrap(), 3)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_000_000 + seconds) * 1000)
}

/// Takes a token at each of these times, and returns which could be taken.
fn takes(times: &[i64]) -> Vec<bool> {
    let mut full_at = None;
    let taken = times.iter().map(|seconds| match rate().take(full_at, at(*seconds)) {
        Ok(later) => {
            full_at = Some(later);
            true
        }
        Err(Empty(_)) => false,
    });
    taken.collect()
}

#[test]
fn a_full_bucket_gives_its_tokens_at_once_and_each_comes_back_after_the_interval() {
    assert_eq!(
        takes(&[0, 0, 0, 0, 29, 30, 31, 60]),
        [true, true, true, false, false, true, false, true]
    );
}

#[test]
fn a_bucket_that_was_not_used_for_long_is_full_and_no_more() {
    let times = [0, 0, 0, 100_000, 100_000, 100_000, 100_000];
    assert_eq!(takes(&times), [true, true, true, true, true, true, false]);
}

#[test]
fn an_empty_bucket_says_when_it_has_a_token() {
    let full_at = (0..3).fold(None, |full_at, _| Some(rate().take(full_at, at(0)).unwrap()));
    assert_eq!(rate().take(full_at, at(0)), Err(Empty(Duration::from_secs(30))));
    assert_eq!(rate().take(full_at, at(29)), Err(Empty(Duration::from_secs(1))));
    assert!(rate().take(full_at, at(30)).is_ok());
}

#[test]
fn a_clock_that_goes_backwards_gives_no_tokens() {
    assert_eq!(takes(&[0, 0, 0, -10, -50, 0]), [true, true, true, false, false, false]);
    assert_eq!(takes(&[0, -100_000, -100_000, -100_000]), [true, true, false, false]);
}

#[test]
fn a_clock_that_was_set_back_far_refuses_nobody_until_it_has_caught_up() {
    let times = [0, 0, 0, -3600, -3600, -3571, -3570, -3570];
    assert_eq!(takes(&times), [true, true, true, true, false, false, true, false]);
}

#[test]
fn a_bucket_has_at_least_the_tokens_of_a_minute() {
    let rate = Rate::per_minute(NonZeroU32::new(600).unwrap(), 5);
    assert_eq!(rate.interval(), Duration::from_millis(100));
    assert_eq!(rate.until_full(), Duration::from_millis(59_900));
}
