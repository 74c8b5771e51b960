//! What the functions of a deployment may touch.
//!
//! [`FUNCTIONS`] is the one list: [`Scoped`] gives a function only the ports that it lists, and the
//! deployment on AWS grants the permissions of the same list, which a test writes to
//! `infra/handlers.json`.

use domain::message::Lane;
use serde::{Serialize, Serializer};

mod functions;
mod scoped;

pub use functions::{FUNCTIONS, Function, LINK, PUBLISH, Trigger};
pub use scoped::{NotPermittedError, OnRefusal, Scoped, log_refusal};

/// One thing that a function may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read and write the records.
    Store,
    /// Send on this lane.
    Queue(Lane),
    /// Start executions.
    StartExecution,
    /// Answer task tokens.
    ResumeExecution,
    /// Start tasks.
    RunTask,
    /// Stop tasks.
    StopTask,
    /// Describe and list tasks.
    ReadTasks,
    /// Exchange messages with the runner in a task.
    Shell,
    /// Post commands to runners over the connections that they have opened; nothing where they open none.
    PostCommands,
    /// Hand out URLs for the objects through which files go.
    Transfers,
    /// Send requests to the endpoints of users.
    Webhooks,
    /// Read the events of all users as they are committed, and publish them.
    Publish,
}

impl Permission {
    /// The name in `infra/handlers.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Queue(Lane::Control) => "queue:control",
            Self::Queue(Lane::Exec) => "queue:exec",
            Self::Queue(Lane::TaskEvents) => "queue:task-events",
            Self::Queue(Lane::Webhooks) => "queue:webhooks",
            Self::StartExecution => "workflow:start",
            Self::ResumeExecution => "workflow:resume",
            Self::RunTask => "compute:run",
            Self::StopTask => "compute:stop",
            Self::ReadTasks => "compute:read",
            Self::Shell => "shell",
            Self::PostCommands => "shell:post",
            Self::Transfers => "transfers",
            Self::Webhooks => "webhooks",
            Self::Publish => "publish",
        }
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests;
