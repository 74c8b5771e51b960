use std::time::{Duration, SystemTime};

use tokio::time::Instant;

const FAR: Duration = Duration::from_hours(24 * 365);

/// Time since the epoch that never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    epoch: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self { start: Instant::now(), epoch: epoch.unwrap_or(Duration::from_millis(1)) }
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch + self.start.elapsed()
    }

    /// For timers: what is very far away comes nearer.
    pub(crate) fn instant(&self, time: Duration) -> Instant {
        self.start + time.saturating_sub(self.epoch).min(FAR)
    }
}
