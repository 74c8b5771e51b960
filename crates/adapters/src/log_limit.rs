//! Limits how often a failure of one session is logged.

use std::{collections::HashMap, time::Duration};

use domain::{SessionId, Timestamp};
use parking_lot::Mutex;

/// How long a session's failures are not logged after one was.
const PAUSE: Duration = Duration::from_mins(1);

/// When failures were logged.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    logged: Mutex<HashMap<SessionId, Timestamp>>,
}

impl LogLimit {
    /// Whether a failure of this session may be logged now; then none may for a minute.
    pub(super) fn may_log(&self, session: SessionId, now: Timestamp) -> bool {
        let mut logged = self.logged.lock();
        logged.retain(|_, at| now.since(*at) < PAUSE);
        let is_first = !logged.contains_key(&session);
        if is_first {
            logged.insert(session, now);
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_logs_one_failure_a_minute() {
        let limit = LogLimit::default();
        let [a, b] = ["a", "b"].map(testkit::session_id);
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let logged = [(a, 0), (a, 1), (b, 2), (a, 59), (a, 60), (a, 61)]
            .map(|(session, seconds)| limit.may_log(session, at(seconds)));
        assert_eq!(logged, [true, false, true, false, true, false]);
    }
}
