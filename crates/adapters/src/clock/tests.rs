use std::collections::BTreeSet;

use super::*;

#[test]
fn ids_are_in_increasing_order() {
    let ids = MonotonicIds::default();
    let given: Vec<Ulid> = (0..10_000).map(|_| ids.ulid()).collect();
    assert!(given.is_sorted_by(|a, b| a < b));
}

#[test]
fn ids_increase_although_the_clock_goes_back() {
    let ahead = Ulid::from_parts(SystemClock.now().millis().unsigned_abs() + 60_000, u128::MAX);
    let ids = MonotonicIds { last: Mutex::new(ahead) };
    let (first, second) = (ids.ulid(), ids.ulid());
    assert!(ahead < first && first < second);
}

#[test]
fn secrets_have_the_requested_length_and_never_repeat() {
    let ids = MonotonicIds::default();
    let secrets: BTreeSet<Vec<u8>> = (0..100).map(|_| ids.secret(16)).collect();
    assert_eq!(secrets.len(), 100);
    assert!(secrets.iter().all(|secret| secret.len() == 16));
}

#[test]
fn fractions_are_spread_between_zero_and_one() {
    let ids = MonotonicIds::default();
    let given: Vec<f64> = (0..1000).map(|_| ids.fraction()).collect();
    assert!(given.iter().all(|one| (0.0..1.0).contains(one)));
    let mean = given.iter().sum::<f64>() / 1000.0;
    assert!((0.4..0.6).contains(&mean), "the mean is {mean}");
}
