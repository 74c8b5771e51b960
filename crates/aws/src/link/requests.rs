//! Requests that a runner must carry out although no report of a job answers them. Each is an item of the table
//! until the runner confirms it, and is sent again over every new connection: a connection that is just being
//! lost accepts what is posted to it, and nobody says that it was lost.

use domain::{JobId, TaskId, Timestamp};
use link::frame::ToRunner;
use serde::{Deserialize, Serialize};

use crate::store::keys::Key;

/// Sort key, and beginning of the ids, of requests to move a task's end: only the last one counts.
const DEADLINE: &str = "deadline";

/// A request, and the id by which the runner confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum What {
    Signal { job: String, signal: i32 },
    Cancel { job: String },
    Deadline { at: Timestamp },
}

impl Request {
    /// A signal. `unique` is an id that no other request has; requests are sent again in the order of their ids.
    pub(super) fn signal(job: JobId, signal: i32, unique: &str) -> Self {
        let what = What::Signal { job: job.to_string(), signal };
        Self { id: format!("signal-{unique}"), what }
    }

    pub(super) fn cancel(job: JobId) -> Self {
        Self { id: format!("cancel-{job}"), what: What::Cancel { job: job.to_string() } }
    }

    pub(super) fn deadline(at: Timestamp, unique: &str) -> Self {
        Self { id: format!("{DEADLINE}-{unique}"), what: What::Deadline { at } }
    }

    /// The key of the item with this request, as long as no later request has its place.
    pub(super) fn key(task: &TaskId, id: &str) -> Key {
        let is_deadline = id.split_once('-').is_some_and(|(kind, _)| kind == DEADLINE);
        Key::link_request(task, if is_deadline { DEADLINE } else { id })
    }

    pub(super) fn frame(&self, now: Timestamp) -> ToRunner {
        let id = self.id.clone();
        match &self.what {
            What::Signal { job, signal } => {
                ToRunner::Signal { job: job.clone(), id, signal: *signal }
            }
            What::Cancel { job } => ToRunner::Cancel { job: job.clone(), id },
            What::Deadline { at } => {
                let after = at.since(now).as_millis();
                ToRunner::Deadline { id, after_ms: u64::try_from(after).unwrap_or(u64::MAX) }
            }
        }
    }
}
