//! The states of a job and their transitions.

use serde::{Deserialize, Serialize};

use super::{
    BackgroundProcess, Common, LEASE, Outcome, ShellUse, StreamStats, TerminalAccess, Usage,
};
use crate::Timestamp;

/// A worker's claim on a job, which runs out unless the worker renews it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker's name.
    pub worker: String,
    /// When the lease runs out; from then on another worker may take over.
    pub until: Timestamp,
}

/// The name in the lease of a job that no worker has picked up yet.
const ANY_WORKER: &str = "any";

/// Accepted; no worker has claimed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) due_at: Timestamp,
}

/// Claimed by a worker. `attempt` is the fence against the workers before it: they can't write any more.
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
    /// No worker so far has reached a runner, so the command was certainly not started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unreached: bool,
    /// The latest permission to open the job's terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<TerminalAccess>,
    /// Whether a client was ever given permission to open the job's terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) opened: bool,
}

/// Finished. Final.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) background: Vec<BackgroundProcess>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shell: Option<ShellUse>,
    /// Until when the record is needed, where the store removes it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) keep_until: Option<Timestamp>,
}

impl Queued {
    /// The part of the record that every state has.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// A worker claims the job.
    pub fn claim(self, worker: &str, now: Timestamp) -> Running {
        Running {
            common: self.common,
            started_at: now,
            attempt: 1,
            lease: lease(worker, now),
            stdout: StreamStats::NOTHING,
            stderr: StreamStats::NOTHING,
            cancel_requested_at: None,
            unreached: false,
            access: None,
            opened: false,
        }
    }

    /// Claims the job for the first worker that picks it up. Until then its command is certainly not started.
    pub fn claim_for_any(self, now: Timestamp) -> Running {
        Running { unreached: true, ..self.claim(ANY_WORKER, now) }
    }

    /// Moves the time at which the sweep checks the job.
    pub fn recheck_at(mut self, due_at: Timestamp) -> Self {
        self.due_at = due_at;
        self
    }

    /// Ends the job without a run; start and stop jobs end like this too.
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
            background: Vec::new(),
            shell: None,
            keep_until: None,
        }
    }
}

impl Running {
    /// The part of the record that every state has.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// The lease of the worker that holds the job, or did until it released it.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How many workers have claimed the job so far.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the first worker claimed the job.
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The sizes of stdout and stderr so far.
    pub const fn output(&self) -> (StreamStats, StreamStats) {
        (self.stdout, self.stderr)
    }

    /// Whether the job is to be cancelled.
    pub const fn cancel_requested(&self) -> bool {
        self.cancel_requested_at.is_some()
    }

    /// Whether another worker may take over.
    pub fn lease_expired(&self, now: Timestamp) -> bool {
        now >= self.lease.until
    }

    /// Whether the command was certainly not started, because no worker has reached a runner and none
    /// tries at present.
    pub const fn is_unreached(&self) -> bool {
        self.unreached
    }

    /// The worker that holds the job did not reach the runner, and no worker did before.
    pub fn unreached(mut self) -> Self {
        self.unreached = true;
        self
    }

    /// The worker holds the job that was claimed for any one. None if another worker has it, or if the lease has
    /// run out.
    pub fn pick_up(mut self, worker: &str, now: Timestamp) -> Option<Self> {
        if self.lease.worker != ANY_WORKER || self.lease_expired(now) {
            return None;
        }
        worker.clone_into(&mut self.lease.worker);
        self.unreached = false;
        Some(self)
    }

    /// Another worker takes over, from the stored output on.
    pub fn take_over(mut self, worker: &str, now: Timestamp) -> Self {
        self.unreached = false;
        self.attempt += 1;
        self.lease = lease(worker, now);
        self
    }

    /// More output was stored, to these sizes. The lease is renewed once half of it is over: a command
    /// that prints all the time would move `due_at`, which is indexed, with each write.
    pub fn progress(mut self, stdout: StreamStats, stderr: StreamStats, now: Timestamp) -> Self {
        (self.stdout, self.stderr) = (stdout, stderr);
        if self.lease.until <= now + LEASE / 2 {
            self.lease.until = now + LEASE;
        }
        // A token that is not valid any more has no business in the record.
        self.access = self.access.filter(|access| now < access.expires_at);
        self
    }

    /// The worker stops following the command, which runs on. No worker holds it until another one takes over,
    /// from `at` on.
    pub fn release_lease(mut self, at: Timestamp) -> Self {
        self.lease = Lease { worker: String::new(), until: at };
        self
    }

    /// The permission to open the job's terminal, unless its time is over.
    pub fn access(&self, now: Timestamp) -> Option<&TerminalAccess> {
        self.access.as_ref().filter(|access| now < access.expires_at)
    }

    /// Whether a client was ever given permission to open the job's terminal.
    pub const fn was_opened(&self) -> bool {
        self.opened
    }

    /// Lets a client open the job's terminal. An earlier permission that was not used is replaced.
    pub fn grant_access(mut self, access: TerminalAccess) -> Self {
        self.access = Some(access);
        self.opened = true;
        self
    }

    /// Removes the permission to open the job's terminal.
    pub fn without_access(mut self) -> Self {
        self.access = None;
        self
    }

    /// Removes the permission to open this channel, because it was used.
    pub fn remove_access(mut self, channel: &str) -> Self {
        self.access = self.access.filter(|access| access.channel != channel);
        self
    }

    /// Whether no worker holds the job at present.
    pub fn is_released(&self) -> bool {
        self.lease.worker.is_empty()
    }

    /// Records that the job is to be cancelled.
    pub fn request_cancel(mut self, now: Timestamp) -> Self {
        self.cancel_requested_at.get_or_insert(now);
        self
    }

    /// Ends the job, with all its output stored.
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
            background: Vec::new(),
            shell: None,
            keep_until: None,
        }
    }
}

impl Finished {
    /// How the job ended.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// When the job ended.
    pub const fn finished_at(&self) -> Timestamp {
        self.finished_at
    }

    /// Records the first of the processes that the command has left running.
    #[must_use]
    pub fn with_background(mut self, processes: Vec<BackgroundProcess>) -> Self {
        self.background = processes;
        self
    }

    /// The first of the processes that the command has left running.
    pub fn background(&self) -> &[BackgroundProcess] {
        &self.background
    }

    /// Records what became of the shell that the command shared with others.
    #[must_use]
    pub const fn with_shell(mut self, shell: Option<ShellUse>) -> Self {
        self.shell = shell;
        self
    }

    /// What became of the shell that the command shared with others, if the runner reported it.
    pub const fn shell(&self) -> Option<ShellUse> {
        self.shell
    }

    /// The record is needed until this time, and the store removes it by itself some time later.
    #[must_use]
    pub fn with_expiry(mut self, at: Timestamp) -> Self {
        self.keep_until = Some(at);
        self
    }

    /// Until when the record is needed; `None` if it is needed as long as that of its session.
    pub const fn keep_until(&self) -> Option<Timestamp> {
        self.keep_until
    }

    /// The resources that the command used, if the runner reported them.
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn lease(worker: &str, now: Timestamp) -> Lease {
    Lease { worker: worker.to_owned(), until: now + LEASE }
}
