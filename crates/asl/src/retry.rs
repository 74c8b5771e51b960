//! Retriers and catchers.

use crate::failure::{Failure, Origin};
use crate::machine::Next;
use crate::path::Path;

/// One entry of `Retry`.
#[derive(Clone, Debug)]
pub(crate) struct Retrier {
    pub(crate) errors: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff_rate: f64,
    pub(crate) max_delay_seconds: Option<u64>,
    pub(crate) full_jitter: bool,
}

impl Retrier {
    pub(crate) fn matches(&self, failure: &Failure, origin: Origin) -> bool {
        self.errors.iter().any(|name| failure.matches(name, origin))
    }

    /// The delay in milliseconds before the next attempt, after `earlier` retries by this retrier.
    /// `random` returns uniformly distributed bits for full jitter.
    pub(crate) fn delay(&self, earlier: u32, random: impl FnOnce() -> u64) -> i64 {
        let exponent = i32::try_from(earlier).unwrap_or(i32::MAX);
        let seconds = self.interval_seconds as f64 * self.backoff_rate.powi(exponent);
        let cap = self.max_delay_seconds.unwrap_or(crate::machine::MAX_SECONDS);
        let millis = seconds.min(cap as f64) * 1000.0;
        let share = if self.full_jitter { random() as f64 / u64::MAX as f64 } else { 1.0 };
        (millis * share) as i64
    }
}

/// One entry of `Catch`.
#[derive(Clone, Debug)]
pub(crate) struct Catcher {
    pub(crate) errors: Vec<String>,
    pub(crate) next: Next,
    /// The path at which the Error Output is inserted; `None` discards it.
    pub(crate) result_path: Option<Path>,
}

impl Catcher {
    pub(crate) fn matches(&self, failure: &Failure, origin: Origin) -> bool {
        self.errors.iter().any(|name| failure.matches(name, origin))
    }
}
