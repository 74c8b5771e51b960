//! A job: one accepted start, execute or stop request, and its outcome.
//!
//! Each state is a struct, and a transition consumes it. [`Finished`] is final.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{JobId, SessionId, Timestamp, UserId, command::Command, webhook::EventType};

mod access;
mod outcome;
mod state;

pub use access::TerminalAccess;
pub use outcome::{BackgroundProcess, Exit, Failure, Gap, Outcome, ShellUse, StreamStats, Usage};
pub use state::{Finished, Lease, Queued, Running};

/// How long a worker holds a job without renewing its lease.
pub const LEASE: Duration = Duration::from_secs(30);

/// How many commands a runner runs at once; it refuses more for the time being.
pub const MAX_RUNNING: usize = 96;

/// A job in one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Job {
    /// Accepted; no worker has claimed it.
    Queued(Queued),
    /// A worker runs it, or did until its lease ran out.
    Running(Running),
    /// Finished. Final.
    Finished(Finished),
}

/// A job's status as the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "JobStatus"))]
pub enum Status {
    Queued,
    Running,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
    Lost,
}

impl Status {
    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// The webhook event of a job that ends in this status, if there is one.
    pub const fn event(self) -> Option<EventType> {
        match self {
            Self::Completed => Some(EventType::JobCompleted),
            Self::Failed => Some(EventType::JobFailed),
            Self::TimedOut => Some(EventType::JobTimedOut),
            Self::Lost => Some(EventType::JobLost),
            Self::Queued | Self::Running | Self::Cancelled => None,
        }
    }
}

/// What a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "command", rename_all = "lowercase")]
pub enum Work {
    /// The start of the session; completes when the session is ready.
    Start,
    /// The run of a command.
    Execute(Box<Command>),
    /// The end of the session; completes when the session has ended.
    Stop,
}

impl Work {
    /// The name that the API uses.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Execute(command) if command.terminal.is_some() => "terminal",
            Self::Execute(command) if command.files.is_some() => "files",
            Self::Execute(_) => "execute",
            Self::Stop => "stop",
        }
    }
}

/// The part of the record that every state has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// The job's id. Ids sort by arrival.
    pub id: JobId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The session's owner.
    pub user: UserId,
    /// What the job asks for.
    pub work: Work,
    /// When the job was accepted.
    pub created_at: Timestamp,
}

impl Job {
    /// Accepts a job. The sweep checks it after [`LEASE`] if no worker has claimed it.
    pub fn accept(common: Common) -> Queued {
        let due_at = common.created_at + LEASE;
        Queued { common, due_at }
    }

    /// The part of the record that every state has.
    pub const fn common(&self) -> &Common {
        match self {
            Self::Queued(job) => &job.common,
            Self::Running(job) => &job.common,
            Self::Finished(job) => &job.common,
        }
    }

    const fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Queued(job) => &mut job.common,
            Self::Running(job) => &mut job.common,
            Self::Finished(job) => &mut job.common,
        }
    }

    /// The job's id.
    pub const fn id(&self) -> JobId {
        self.common().id
    }

    /// The command of an execute job; none of a start or stop job.
    pub fn command(&self) -> Option<&Command> {
        match &self.common().work {
            Work::Execute(command) => Some(command),
            Work::Start | Work::Stop => None,
        }
    }

    /// The job with the outline of its command.
    #[must_use]
    pub fn outline(mut self) -> Self {
        if let Work::Execute(command) = &mut self.common_mut().work {
            command.clear();
        }
        self
    }

    /// The status that the API shows.
    pub const fn status(&self) -> Status {
        match self {
            Self::Queued(_) => Status::Queued,
            Self::Running(_) => Status::Running,
            Self::Finished(job) => job.outcome.status(),
        }
    }

    /// When the sweep must reconcile the job if nothing else does; none once it is finished.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued(job) => Some(job.due_at),
            Self::Running(job) => Some(job.lease.until),
            Self::Finished(_) => None,
        }
    }

    /// How many workers have claimed the job so far.
    pub const fn attempt(&self) -> u32 {
        match self {
            Self::Queued(_) => 0,
            Self::Running(job) => job.attempt,
            Self::Finished(job) => job.attempt,
        }
    }

    /// When the job was claimed for the first time, if it ever was.
    pub const fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued(_) => None,
            Self::Running(job) => Some(job.started_at),
            Self::Finished(job) => job.started_at,
        }
    }

    /// The sizes of stdout and stderr so far.
    pub const fn output(&self) -> (StreamStats, StreamStats) {
        match self {
            Self::Queued(_) => (StreamStats::NOTHING, StreamStats::NOTHING),
            Self::Running(job) => (job.stdout, job.stderr),
            Self::Finished(job) => (job.stdout, job.stderr),
        }
    }
}

from_states!(Job: Queued Running Finished);

#[cfg(test)]
mod tests;
