//! Waiting for what must become true, instead of sleeping.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many times longer everything may take where calls fail and come again.
const IN_A_STORM: u32 = 4;
static STORM: AtomicBool = AtomicBool::new(false);

/// From now on everything may take longer.
pub(crate) fn be_patient() {
    STORM.store(true, Relaxed);
}

/// How long something may take that usually takes this long at most.
pub(crate) fn at_most(usually: Duration) -> Duration {
    if STORM.load(Relaxed) { usually * IN_A_STORM } else { usually }
}

/// Looks again and again until there is something to see.
///
/// # Errors
/// If there is nothing in time, with the words of the last look; if a look fails.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let (began, within) = (Instant::now(), at_most(within));
    loop {
        match look().await? {
            Ok(seen) => return Ok(seen),
            Err(instead) if began.elapsed() > within => {
                bail!("{what}: not within {} s, but {instead}", within.as_secs());
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
