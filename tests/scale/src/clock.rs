//! Virtual time: it stands still while anything can be done, then jumps to the next timer.

use domain::{Timestamp, ports::Clock};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z.
const BASE_MILLIS: i64 = 1_767_225_600_000;

/// The clock of the model, which shows the virtual time of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualClock {
    start: Instant,
}

impl VirtualClock {
    /// A clock that shows the base time now.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Seconds since the start of the model.
    pub(crate) fn seconds(self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The instant of the runtime at this time.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        self.start + at.since(Timestamp::from_millis(BASE_MILLIS))
    }

    /// Seconds from the start of the model to this time.
    pub(crate) fn seconds_at(at: Timestamp) -> f64 {
        at.since(Timestamp::from_millis(BASE_MILLIS)).as_secs_f64()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BASE_MILLIS) + self.start.elapsed()
    }
}
