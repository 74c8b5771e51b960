use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The longest timer; tokio can't represent arbitrarily distant instants.
const MAX_TIMER: Duration = Duration::from_hours(24 * 365);

/// A monotonic clock that returns the time since the Unix epoch.
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

    /// Converts a time into an instant for a timer; distant times are capped at a year.
    pub(crate) fn instant(&self, time: Duration) -> Instant {
        self.start + time.saturating_sub(self.epoch).min(MAX_TIMER)
    }
}
