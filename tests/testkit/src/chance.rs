//! Chance that comes out the same in each run.

use std::sync::Mutex;

use domain::ports::{Clock, Ids};
use ulid::Ulid;

use crate::{SimClock, gate::locked};

/// A seeded source of numbers (SplitMix64, public domain by Sebastiano Vigna).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub const fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; none if there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        if choices.is_empty() { None } else { choices.get(self.below(choices.len())) }
    }
}

/// Ids that count up. They sort by age, even where the clock goes back.
#[derive(Debug)]
pub struct SeqIds {
    clock: SimClock,
    state: Mutex<(u64, u128, Dice)>,
}

impl SeqIds {
    /// Ids with the time of this clock.
    pub fn new(clock: SimClock) -> Self {
        Self { clock, state: Mutex::new((0, 0, Dice::new(1))) }
    }
}

impl Ids for SeqIds {
    fn ulid(&self) -> Ulid {
        let mut state = locked(&self.state);
        state.0 = state.0.max(self.clock.now().millis().unsigned_abs());
        state.1 += 1;
        Ulid::from_parts(state.0, state.1)
    }

    fn secret(&self, bytes: usize) -> Vec<u8> {
        let mut state = locked(&self.state);
        (0..bytes).map(|_| state.2.next().to_le_bytes()[0]).collect()
    }

    fn fraction(&self) -> f64 {
        f64::from((locked(&self.state).2.next() >> 40) as u32) / f64::from(1_u32 << 24)
    }
}
