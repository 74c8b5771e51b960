//! When a connection is taken for lost although nobody has closed it.

use std::time::Duration;

/// How often the other end is asked whether it is there: a service finds the shell again that long after a
/// connection broke off without a word. Far below the 10 minutes after which API Gateway ends an idle
/// connection, and the 350 s after which a NAT gateway forgets it.
const PING_AFTER: Duration = Duration::from_secs(15);
/// The same after a frame was sent.
const PING_AFTER_FRAME: Duration = Duration::from_secs(3);
/// How long nothing may come after a ping.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// How long no frame may come after one that has an answer and is repeated meanwhile. The service may be slow, or
/// refuse calls for a while; another connection would only be one more call.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// API Gateway ends a connection after two hours.
const MAX_AGE: Duration = Duration::from_mins(110);

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    /// It is lost, for this reason.
    Lost(&'static str),
    /// It is as old as it may become.
    TooOld,
}

/// The times of one connection, each since it was opened.
#[derive(Debug)]
pub(crate) struct Liveness {
    ping_at: Duration,
    pong_by: Option<Duration>,
    answer_by: Option<Duration>,
}

impl Liveness {
    pub(crate) const fn new() -> Self {
        Self { ping_at: PING_AFTER, pong_by: None, answer_by: None }
    }

    /// A frame was sent.
    pub(crate) fn sent(&mut self, has_answer: bool, now: Duration) {
        self.ping_at = self.ping_at.min(now + PING_AFTER_FRAME);
        if has_answer {
            self.answer_by.get_or_insert(now + ANSWER_TIMEOUT);
        }
    }

    /// Something has come: a frame, or the answer to a ping.
    pub(crate) fn heard(&mut self, is_frame: bool, now: Duration) {
        self.pong_by = None;
        self.ping_at = now + PING_AFTER;
        if is_frame {
            self.answer_by = None;
        }
    }

    /// When [`Liveness::due`] is next something else than `None`, if nothing happens.
    pub(crate) fn next(&self) -> Duration {
        let ping_at = self.pong_by.unwrap_or(self.ping_at);
        MAX_AGE.min(ping_at).min(self.answer_by.unwrap_or(MAX_AGE))
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        if now >= MAX_AGE {
            Some(Due::TooOld)
        } else if self.pong_by.is_some_and(|by| now >= by) {
            Some(Due::Lost("a ping was not answered"))
        } else if self.answer_by.is_some_and(|by| now >= by) {
            Some(Due::Lost("no frame was answered"))
        } else if self.pong_by.is_none() && now >= self.ping_at {
            self.pong_by = Some(now + PONG_TIMEOUT);
            Some(Due::Ping)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_connection_that_broke_off_is_lost_after_25_seconds() {
        let mut liveness = Liveness::new();
        assert_eq!(liveness.due(at(14)), None);
        assert_eq!(liveness.next(), at(15));
        assert_eq!(liveness.due(at(15)), Some(Due::Ping));
        assert_eq!((liveness.next(), liveness.due(at(24))), (at(25), None));
        assert_eq!(liveness.due(at(25)), Some(Due::Lost("a ping was not answered")));
    }

    #[test]
    fn one_over_which_a_frame_was_sent_is_lost_after_13_seconds() {
        let mut liveness = Liveness::new();
        liveness.sent(true, at(5));
        assert_eq!(liveness.due(at(8)), Some(Due::Ping));
        assert!(matches!(liveness.due(at(18)), Some(Due::Lost(_))));
    }

    #[test]
    fn one_whose_pings_are_answered_stays_until_it_is_old() {
        let mut liveness = Liveness::new();
        let mut pings = 0;
        while liveness.next() < MAX_AGE {
            let now = liveness.next();
            assert_eq!(liveness.due(now), Some(Due::Ping));
            liveness.heard(false, now + at(1));
            pings += 1;
        }
        assert_eq!(pings, 412);
        assert_eq!(liveness.due(MAX_AGE), Some(Due::TooOld));
    }

    #[test]
    fn one_whose_frames_are_not_answered_is_lost_though_its_pings_are() {
        let mut liveness = Liveness::new();
        liveness.sent(false, at(1));
        liveness.sent(true, at(2));
        while let Some(Due::Ping) = liveness.due(liveness.next()) {
            assert!(liveness.next() < at(80));
            liveness.heard(false, liveness.next() - PONG_TIMEOUT);
        }
        assert_eq!(liveness.next(), at(62));
        assert_eq!(liveness.due(at(62)), Some(Due::Lost("no frame was answered")));
    }
}
