//! Ids and random numbers that are the same in each run.

use domain::ports::{Clock, Ids};
use fastrand::Rng;
use parking_lot::Mutex;
use ulid::Ulid;

use crate::SimClock;

/// Ids that count up. They sort by age, even where the clock goes back.
#[derive(Debug)]
pub struct SeqIds {
    clock: SimClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The latest time that the clock showed, in milliseconds since 1970.
    latest: u64,
    count: u128,
    rng: Rng,
}

impl SeqIds {
    /// Ids with the time of this clock; secrets and fractions come from a fixed seed.
    pub fn new(clock: SimClock) -> Self {
        let state = State { latest: 0, count: 0, rng: Rng::with_seed(1) };
        Self { clock, state: Mutex::new(state) }
    }
}

impl Ids for SeqIds {
    fn ulid(&self) -> Ulid {
        let mut state = self.state.lock();
        state.latest = state.latest.max(self.clock.now().millis().unsigned_abs());
        state.count += 1;
        Ulid::from_parts(state.latest, state.count)
    }

    fn secret(&self, bytes: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        (0..bytes).map(|_| state.rng.u8(..)).collect()
    }

    fn fraction(&self) -> f64 {
        self.state.lock().rng.f64()
    }
}
