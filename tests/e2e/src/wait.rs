//! Waiting for what must become true, instead of sleeping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Looks again and again until there is something to see.
///
/// # Errors
/// If there is nothing in time, with the words of the last look; if a look fails.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let began = Instant::now();
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
