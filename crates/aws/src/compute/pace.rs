//! Asking no faster than ECS answers.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// "Cluster resource read actions" have 20 a second for all of an account in a region
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>). One process
/// takes at most half.
const APART: Duration = Duration::from_millis(100);

/// Keeps calls of this process apart.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Returns when the next call may be made; the first one at once.
    pub(super) async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        *next = Some(Instant::now() + APART);
    }
}
