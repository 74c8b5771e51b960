//! How long to wait before another try.

use std::time::{Duration, Instant};

/// The first wait is at most this long; each further one up to twice as long.
const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(500);
/// Tries, and time, after which it is given up. A function that is asked over HTTP has 29 s.
const TRIES: u32 = 30;
const IN_ALL: Duration = Duration::from_secs(12);

/// Tries with waits in between: exponential, with full jitter, so that those who met once do not meet
/// again (<https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>).
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    tries: u32,
}

impl Pace {
    /// Before the first try.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), tries: 1 }
    }

    /// The tries so far.
    pub(super) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Waits for the next try. False if there should be none.
    pub(super) async fn next(&mut self) -> bool {
        if self.tries >= TRIES || self.began.elapsed() >= IN_ALL {
            return false;
        }
        let most = LONGEST.min(FIRST * 2_u32.pow((self.tries - 1).min(10)));
        self.tries += 1;
        tokio::time::sleep(most.mul_f64(fraction())).await;
        true
    }
}

/// An even number in 0..1.
fn fraction() -> f64 {
    f64::from(u32::from_ne_bytes(chance())) / f64::from(u32::MAX)
}

/// Bytes that nobody has drawn before.
pub(super) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it runs");
    bytes
}
