//! The clock of this machine, and new ids.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{
    Timestamp,
    ports::{Clock, Ids},
};
use parking_lot::Mutex;
use ulid::Ulid;

/// The wall clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// ULIDs in increasing order, and random bytes from the kernel.
#[derive(Debug, Default)]
pub struct MonotonicIds {
    last: Mutex<Ulid>,
}

impl Ids for MonotonicIds {
    fn ulid(&self) -> Ulid {
        let now = SystemClock.now().millis().unsigned_abs();
        let mut last = self.last.lock();
        *last = if now > last.timestamp_ms() {
            Ulid::from_parts(now, u128::from_le_bytes(random()))
        } else {
            // This is the same millisecond, or the clock went back. If the random part can't be
            // increased any more, the next millisecond is used.
            last.increment().unwrap_or_else(|_| Ulid::from_parts(last.timestamp_ms() + 1, 0))
        };
        *last
    }

    fn secret(&self, bytes: usize) -> Vec<u8> {
        let mut secret = vec![0; bytes];
        fill(&mut secret);
        secret
    }

    fn fraction(&self) -> f64 {
        // A double has a mantissa of 53 bits.
        let top = u64::from_le_bytes(random()) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let numerator = top as f64;
        numerator / (1_u64 << 53) as f64
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("Linux has had getrandom since 3.17");
}

#[cfg(test)]
mod tests;
