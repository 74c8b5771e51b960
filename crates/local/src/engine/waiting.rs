//! Sessions whose jobs wait until their user runs fewer commands.

use std::collections::{HashMap, HashSet};

use domain::{SessionId, UserId};
use parking_lot::Mutex;

/// Sessions with queued jobs that were not claimed because of the limit of commands that run at once. The
/// list is a hint: after a restart the sweep finds the jobs.
#[derive(Debug, Default)]
pub(super) struct WaitingSessions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<UserId, HashSet<SessionId>>,
    /// How many commands have ended so far.
    ends: u64,
}

impl WaitingSessions {
    /// How many commands have ended so far.
    pub(super) fn ends(&self) -> u64 {
        self.state.lock().ends
    }

    /// Adds a session of this user, unless a command has ended since there were `before` ends: then there
    /// may be a place already, and this returns false.
    pub(super) fn add(&self, user: UserId, session: SessionId, before: u64) -> bool {
        let mut state = self.state.lock();
        if state.ends != before {
            return false;
        }
        state.sessions.entry(user).or_default().insert(session);
        true
    }

    /// A command of this user has ended. Returns the sessions that waited for that.
    pub(super) fn end(&self, user: &UserId) -> HashSet<SessionId> {
        let mut state = self.state.lock();
        state.ends += 1;
        state.sessions.remove(user).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_waits_for_the_next_end_of_a_command_of_its_user() {
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        let [a, b] = ["a", "b"].map(testkit::session_id);
        let waiting = WaitingSessions::default();
        assert!(waiting.add(ann.clone(), a, waiting.ends()));
        assert!(waiting.add(ann.clone(), b, waiting.ends()));
        assert_eq!(waiting.end(&bob), HashSet::new());
        assert_eq!(waiting.end(&ann), [a, b].into());
        assert_eq!(waiting.end(&ann), HashSet::new());
    }

    #[test]
    fn an_end_during_the_attempt_to_claim_is_not_missed() {
        let ann = UserId::new("ann");
        let waiting = WaitingSessions::default();
        let before = waiting.ends();
        assert_eq!(waiting.end(&ann), HashSet::new());
        assert!(!waiting.add(ann, testkit::session_id("a"), before));
    }
}
