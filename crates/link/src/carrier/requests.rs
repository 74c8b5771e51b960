//! Requests that no report of a job answers: signals, cancellations and deadlines. The service repeats each on
//! every connection until it is told that the runner has carried it out.

use std::{collections::VecDeque, time::Duration};

use runner::protocol::{Event, Request};

/// How many requests wait at a time. Another one is ignored, and comes again with the next connection.
const MAX_OPEN: usize = 64;
/// How many requests are remembered that were carried out, so that one that comes twice acts once.
const MAX_DONE: usize = 256;
/// How long a request waits that could not be carried out.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a signal waits for a job that the runner has never seen: far longer than a lost request to start it.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// The requests that wait, and the ids of those that were carried out.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Open>,
    done: VecDeque<String>,
    last_number: u64,
}

#[derive(Debug)]
struct Open {
    id: String,
    request: Request,
    /// The attempt whose answer has not come.
    attempt: Option<u64>,
    try_at: Duration,
    give_up_at: Duration,
}

impl Requests {
    /// A request has come. Returns its id if it was carried out before.
    pub(super) fn add(&mut self, id: String, request: Request, now: Duration) -> Option<String> {
        if self.done.contains(&id) {
            return Some(id);
        }
        if self.open.len() < MAX_OPEN && self.open.iter().all(|open| open.id != id) {
            let give_up_at = now + GIVE_UP_AFTER;
            self.open.push(Open { id, request, attempt: None, try_at: now, give_up_at });
        }
        None
    }

    /// The next attempt, and its number.
    pub(super) fn next(&mut self, now: Duration) -> Option<(u64, Request)> {
        let open =
            self.open.iter_mut().find(|open| open.attempt.is_none() && open.try_at <= now)?;
        self.last_number += 1;
        open.attempt = Some(self.last_number);
        Some((self.last_number, open.request.clone()))
    }

    /// The runner's answer to an attempt; `None` if there was none. Returns the id of a request that is carried
    /// out, or never can be.
    pub(super) fn answered(
        &mut self,
        attempt: u64,
        answer: Option<&Event>,
        now: Duration,
    ) -> Option<String> {
        let at = self.open.iter().position(|open| open.attempt == Some(attempt))?;
        let open = self.open.get_mut(at)?;
        // The request to start the job may be under way.
        let again = matches!(answer, None | Some(Event::Unknown));
        if again && now < open.give_up_at {
            (open.attempt, open.try_at) = (None, now + RETRY_AFTER);
            return None;
        }
        let id = self.open.remove(at).id;
        self.done.push_back(id.clone());
        if self.done.len() > MAX_DONE {
            self.done.pop_front();
        }
        Some(id)
    }

    /// When [`Requests::next`] has something to do.
    pub(super) fn due(&self) -> Option<Duration> {
        self.open.iter().filter(|open| open.attempt.is_none()).map(|open| open.try_at).min()
    }

    /// Whether no request waits.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
