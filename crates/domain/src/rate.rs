//! How fast a user may start sessions: a token bucket, of which one time is stored.

use std::{num::NonZeroU32, time::Duration};

use crate::Timestamp;

/// A clock that was set back by more than this is told from clocks that differ.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// A token bucket. What is stored of it is the time from which on it is full if nothing is taken; without
/// such a time it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time in which a token comes back.
    interval: Duration,
    /// How many tokens a full bucket has.
    burst: NonZeroU32,
}

/// The bucket is empty. It has a token after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty(pub Duration);

impl Rate {
    /// A bucket that gets this many tokens back in a minute, rounded to whole milliseconds for each, so at most
    /// 60,000; a full one has `burst`, but not fewer than come back in a minute.
    pub fn per_minute(tokens: NonZeroU32, burst: u32) -> Self {
        let millis = 60_000_u32.div_ceil(tokens.get());
        let burst = NonZeroU32::new(burst).map_or(tokens, |burst| burst.max(tokens));
        Self { interval: Duration::from_millis(millis.into()), burst }
    }

    /// The time in which a token comes back.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// How long before it is full a bucket has its first token.
    pub fn until_full(self) -> Duration {
        self.interval * (self.burst.get() - 1)
    }

    /// When the bucket is full if a token is taken now.
    ///
    /// # Errors
    /// If it has no token. A clock that goes backwards gives no tokens. So that nobody is refused until such a
    /// clock has caught up, a bucket that could not be so empty by the present clock counts as one with a
    /// single token.
    pub fn take(self, full_at: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Empty> {
        let full_at = full_at.map_or(now, |full_at| full_at.max(now));
        let latest = now + self.until_full();
        if full_at <= latest {
            Ok(full_at + self.interval)
        } else if full_at > latest + self.interval + CLOCK_SKEW {
            Ok(latest + self.interval)
        } else {
            Err(Empty(full_at.since(latest)))
        }
    }
}

#[cfg(test)]
mod tests;
