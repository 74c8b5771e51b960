//! Waiting for conditions, instead of sleeping.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The factor of all time limits while faults are injected.
const FAULT_FACTOR: u32 = 4;
static WITH_FAULTS: AtomicBool = AtomicBool::new(false);

/// Extends all time limits from now on, for runs with injected faults.
pub(crate) fn allow_more_time() {
    WITH_FAULTS.store(true, Relaxed);
}

/// A time limit, extended while faults are injected.
pub(crate) fn at_most(limit: Duration) -> Duration {
    if WITH_FAULTS.load(Relaxed) { limit * FAULT_FACTOR } else { limit }
}

/// Polls `check` until it returns a value.
///
/// # Errors
/// If there is no value in time, with the last reason of `check`; if `check` fails.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let (began, within) = (Instant::now(), at_most(within));
    loop {
        match check().await? {
            Ok(value) => return Ok(value),
            Err(reason) if began.elapsed() > within => {
                bail!("{what}: not within {} s: {reason}", within.as_secs());
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
