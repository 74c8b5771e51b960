//! The states and their transitions.

use serde::{Deserialize, Serialize};

use super::{Common, LEASE, Outcome, StreamStats, Usage};
use crate::Timestamp;

/// A worker's hold on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: String,
    /// Until when; after that anybody may take over.
    pub until: Timestamp,
}

/// Accepted; nobody has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) due_at: Timestamp,
}

/// A worker has it; `attempt` is the fence against the workers before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) started_at: Timestamp,
    pub(super) attempt: u32,
    pub(super) lease: Lease,
    pub(super) stdout: StreamStats,
    pub(super) stderr: StreamStats,
    pub(super) cancel_requested_at: Option<Timestamp>,
}

/// Over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) outcome: Outcome,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Timestamp,
    pub(super) attempt: u32,
    pub(super) stdout: StreamStats,
    pub(super) stderr: StreamStats,
    pub(super) usage: Option<Usage>,
}

impl Queued {
    /// What every state knows.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// A worker takes it.
    pub fn claim(self, worker: &str, now: Timestamp) -> Running {
        Running {
            common: self.common,
            started_at: now,
            attempt: 1,
            lease: lease(worker, now),
            stdout: StreamStats::NOTHING,
            stderr: StreamStats::NOTHING,
            cancel_requested_at: None,
        }
    }

    /// Its turn has not come: look again later.
    pub fn recheck_at(mut self, due_at: Timestamp) -> Self {
        self.due_at = due_at;
        self
    }

    /// It ends without having run; start and stop jobs end like this too.
    pub fn end(self, outcome: Outcome, now: Timestamp) -> Finished {
        Finished {
            common: self.common,
            outcome,
            started_at: None,
            finished_at: now,
            attempt: 0,
            stdout: StreamStats::NOTHING,
            stderr: StreamStats::NOTHING,
            usage: None,
        }
    }
}

impl Running {
    /// What every state knows.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// Who holds it.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Which worker's hold this is, counted from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Where its output stands: stdout, stderr.
    pub const fn output(&self) -> (StreamStats, StreamStats) {
        (self.stdout, self.stderr)
    }

    /// Whether somebody wants it to end.
    pub const fn cancel_requested(&self) -> bool {
        self.cancel_requested_at.is_some()
    }

    /// Whether this worker may take over now.
    pub fn lease_expired(&self, now: Timestamp) -> bool {
        now >= self.lease.until
    }

    /// Another worker takes over where the last one stored.
    pub fn take_over(mut self, worker: &str, now: Timestamp) -> Self {
        self.attempt += 1;
        self.lease = lease(worker, now);
        self
    }

    /// More output was stored; the hold is renewed.
    pub fn progress(mut self, stdout: StreamStats, stderr: StreamStats, now: Timestamp) -> Self {
        (self.stdout, self.stderr) = (stdout, stderr);
        self.lease.until = self.lease.until.max(now + LEASE);
        self
    }

    /// The worker lets go while the command runs on; the next may come at once.
    pub fn release_lease(mut self, now: Timestamp) -> Self {
        self.lease.until = now;
        self
    }

    /// Somebody wants it to end.
    pub fn request_cancel(mut self, now: Timestamp) -> Self {
        self.cancel_requested_at.get_or_insert(now);
        self
    }

    /// It ended as the runner said, with all its output stored.
    pub fn end(self, outcome: Outcome, usage: Option<Usage>, now: Timestamp) -> Finished {
        Finished {
            common: self.common,
            outcome,
            started_at: Some(self.started_at),
            finished_at: now,
            attempt: self.attempt,
            stdout: self.stdout,
            stderr: self.stderr,
            usage,
        }
    }
}

impl Finished {
    /// How it came out.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// When it ended.
    pub const fn finished_at(&self) -> Timestamp {
        self.finished_at
    }

    /// What it used, if the runner said so.
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn lease(worker: &str, now: Timestamp) -> Lease {
    Lease { worker: worker.to_owned(), until: now + LEASE }
}
