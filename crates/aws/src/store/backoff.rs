//! Delays between the attempts of one call.

use std::time::{Duration, Instant};

use super::error::StoreError;

/// Upper bound of the first delay; the bound doubles with each further delay.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(500);
/// Attempts, including the first, and the total time after which a call is abandoned. A request over
/// HTTP has 29 s in all.
const MAX_ATTEMPTS: u32 = 30;
const MAX_ELAPSED: Duration = Duration::from_secs(12);

/// Counts attempts and spaces them by exponential backoff with full jitter, so that callers that
/// conflicted once do not conflict again
/// (<https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>).
#[derive(Debug)]
pub(super) struct Backoff {
    started: Instant,
    attempts: u32,
}

impl Backoff {
    /// Created just before the first attempt.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), attempts: 1 }
    }

    /// Sleeps before the next attempt. Fails with [`StoreError::RetriesExhausted`] when no attempt is
    /// left; `last` says why the previous one failed.
    pub(super) async fn wait(&mut self, last: impl ToString) -> Result<(), StoreError> {
        if self.attempts >= MAX_ATTEMPTS || self.started.elapsed() >= MAX_ELAPSED {
            let (attempts, last) = (self.attempts, last.to_string());
            return Err(StoreError::RetriesExhausted { attempts, last });
        }
        let bound = MAX_DELAY.min(FIRST_DELAY * 2_u32.pow((self.attempts - 1).min(10)));
        self.attempts += 1;
        tokio::time::sleep(bound.mul_f64(fastrand::f64())).await;
        Ok(())
    }
}
