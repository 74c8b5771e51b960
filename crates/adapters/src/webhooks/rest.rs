//! Endpoints that do not answer in time rest, so that they don't hold the places of others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use domain::UserId;
use parking_lot::Mutex;
use reqwest::Url;

/// An endpoint rests after so many timeouts in a row.
const TIMEOUTS: u32 = 3;
/// The first rest; each later one is twice as long.
const FIRST_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_mins(10);
/// Endpoints that neither timed out nor rested for so long are forgotten.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// An endpoint: all URLs of a user at one host and port. Endpoints of other users at the same host are
/// apart, so that nobody can put the endpoints of others to rest.
pub(super) type Endpoint = (UserId, String);

/// The endpoint of this user that the URL belongs to.
pub(super) fn endpoint(user: &UserId, url: &Url) -> Endpoint {
    let port = url.port_or_known_default().unwrap_or_default();
    (user.clone(), format!("{}:{port}", url.host_str().unwrap_or_default()))
}

/// The endpoints that timed out lately.
#[derive(Debug, Default)]
pub(super) struct Rests {
    endpoints: Mutex<HashMap<Endpoint, Timeouts>>,
}

#[derive(Debug)]
struct Timeouts {
    in_a_row: u32,
    rest_until: Instant,
}

impl Rests {
    /// How long the endpoint still rests, if it does.
    pub(super) fn left(&self, endpoint: &Endpoint, now: Instant) -> Option<Duration> {
        let until = self.endpoints.lock().get(endpoint)?.rest_until;
        Some(until.duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Records the result of a post.
    pub(super) fn record(&self, endpoint: Endpoint, timed_out: bool, now: Instant) {
        let mut endpoints = self.endpoints.lock();
        if !timed_out {
            endpoints.remove(&endpoint);
            return;
        }
        endpoints.retain(|_, known| now.duration_since(known.rest_until) < FORGET_AFTER);
        let known = endpoints.entry(endpoint).or_insert(Timeouts { in_a_row: 0, rest_until: now });
        // Posts that were under way together count once.
        if known.rest_until > now {
            return;
        }
        known.in_a_row += 1;
        known.rest_until = now;
        if let Some(rests) = known.in_a_row.checked_sub(TIMEOUTS) {
            known.rest_until += (FIRST_REST * 2_u32.pow(rests.min(16))).min(LONGEST_REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str, url: &str) -> Endpoint {
        endpoint(&UserId::new(user), &url.parse().unwrap())
    }

    #[test]
    fn an_endpoint_rests_longer_with_each_timeout_until_it_answers() {
        let (rests, start) = (Rests::default(), Instant::now());
        let slow = of("ann", "https://slow.example/a");
        let mut now = start;
        let mut seen = Vec::new();
        for _ in 0..12 {
            rests.record(slow.clone(), true, now);
            let left = rests.left(&slow, now).unwrap_or_default();
            seen.push(left.as_secs());
            now += left;
            assert_eq!(rests.left(&slow, now), None);
        }
        assert_eq!(seen, [0, 0, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
        rests.record(slow.clone(), false, now);
        rests.record(slow.clone(), true, now);
        assert_eq!(rests.left(&slow, now), None);
    }

    #[test]
    fn an_endpoint_is_all_urls_of_one_user_at_one_host() {
        let (rests, now) = (Rests::default(), Instant::now());
        for url in ["https://a.example/1", "https://a.example:443/2", "https://a.example/3?x"] {
            rests.record(of("ann", url), true, now);
        }
        let rests_now = |user, url| rests.left(&of(user, url), now).is_some();
        assert!(rests_now("ann", "https://a.example/4"));
        assert!(!rests_now("ann", "https://a.example:8443/"));
        assert!(!rests_now("ann", "https://b.example/"));
        assert!(!rests_now("bob", "https://a.example/1"));
    }
}
