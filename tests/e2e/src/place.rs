//! The two places where the product runs, and what tests may do there behind the API.

use std::path::Path;

use anyhow::Result;

use crate::{Variant, user::User};

mod aws;
mod local;

pub(crate) use aws::{Aws, Fault, Faults};
use local::Local;

/// A running place.
#[derive(Debug)]
pub(crate) enum Place {
    Local(Box<Local>),
    Aws(Box<Aws>),
}

impl Place {
    pub(crate) async fn local(root: &Path, logs: Option<&Path>) -> Result<Self> {
        Ok(Self::Local(Box::new(Local::start(root, logs).await?)))
    }

    pub(crate) async fn aws(root: &Path, logs: Option<&Path>, variant: Variant) -> Result<Self> {
        Ok(Self::Aws(Box::new(Aws::start(root, logs, variant).await?)))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Aws(_) => "aws",
        }
    }

    /// Whether faults are injected in all scenarios.
    pub(crate) fn has_faults(&self) -> bool {
        self.as_aws().is_some_and(Aws::has_faults)
    }

    /// AWS's shape, if this is that place.
    pub(crate) fn as_aws(&self) -> Option<&Aws> {
        match self {
            Self::Local(_) => None,
            Self::Aws(aws) => Some(aws),
        }
    }

    /// The user of this name, created at the first call.
    pub(crate) async fn user(&self, name: &str) -> Result<User> {
        match self {
            Self::Local(local) => local.user(name),
            Self::Aws(aws) => aws.user(name).await,
        }
    }

    /// A user with this token.
    pub(crate) fn bearer(&self, token: Option<&str>) -> Result<User> {
        let base = match self {
            Self::Local(local) => local.base(),
            Self::Aws(aws) => aws.base(),
        };
        User::new(&base, token.map(str::to_owned))
    }

    /// Kills the task of a session from outside. `mark` is part of the command line of a command that
    /// runs in the task.
    pub(crate) async fn kill_task(&self, session: &str, mark: &str) -> Result<()> {
        match self {
            Self::Local(_) => local::kill_task(mark),
            Self::Aws(aws) => aws.kill_task(session).await,
        }
    }

    /// Kills all workers that run commands, or take the reports of runners about them, with SIGKILL.
    pub(crate) async fn kill_workers(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.kill_and_restart().await,
            Self::Aws(aws) => aws.kill_workers(&["exec", "link"]),
        }
    }

    /// Runs the sweep. The local server sweeps by itself every second.
    pub(crate) async fn sweep(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.sweep().await,
        }
    }

    /// All logs so far, by source.
    pub(crate) async fn logs(&self) -> Result<Vec<(String, String)>> {
        match self {
            Self::Local(local) => local.logs(),
            Self::Aws(aws) => aws.logs().await,
        }
    }

    /// Ends the faults that a scenario has set.
    pub(crate) async fn reset_faults(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.reset_faults().await,
        }
    }

    /// An error if work is open or was dead-lettered after all scenarios. A scenario that failed may have left a session,
    /// for whose end nobody needs to wait.
    pub(crate) async fn audit(&self, any_failed: bool) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.audit(any_failed).await,
        }
    }

    /// Ends all programs; an error if processes of sandboxes are left.
    pub(crate) fn leave(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.leave(),
            Self::Aws(aws) => aws.leave(),
        }
    }
}
