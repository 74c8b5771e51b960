//! A rate limit for the read calls of ECS.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// "Cluster resource read actions" are limited to 20 per second for an account in a region
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>). One process
/// takes at most half of them.
const INTERVAL: Duration = Duration::from_millis(100);

/// Spaces the calls of this process by [`INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    next: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// Returns when the caller may make its call; for the first call that is at once.
    pub(super) async fn wait(&self) {
        let now = Instant::now();
        let at = {
            let mut next = self.next.lock();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + INTERVAL);
            at
        };
        sleep_until(at).await;
    }
}
