//! Limits how often a failure of one session or task is logged, since its user can cause it at any rate.

use std::{collections::HashMap, hash::Hash, time::Duration};

use domain::Timestamp;
use parking_lot::Mutex;

/// Shortest time between two logged failures of one id.
const PAUSE: Duration = Duration::from_mins(1);

/// When failures were logged.
#[derive(Debug)]
pub struct LogLimit<Id> {
    logged: Mutex<HashMap<Id, Timestamp>>,
}

impl<Id> Default for LogLimit<Id> {
    fn default() -> Self {
        Self { logged: Mutex::default() }
    }
}

impl<Id: Eq + Hash + Clone> LogLimit<Id> {
    /// Whether a failure of this id may be logged now; if so, no other one of it may for a minute.
    pub fn may_log(&self, id: &Id, now: Timestamp) -> bool {
        let mut logged = self.logged.lock();
        logged.retain(|_, at| now.since(*at) < PAUSE);
        let is_first = !logged.contains_key(id);
        if is_first {
            logged.insert(id.clone(), now);
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
            .map(|(session, seconds)| limit.may_log(&session, at(seconds)));
        assert_eq!(logged, [true, false, true, false, true, false]);
    }
}
