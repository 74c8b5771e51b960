//! The two places where the product runs, as far as a test may reach behind their API.

use std::path::Path;

use anyhow::Result;

use crate::api::Api;

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

    pub(crate) async fn aws(root: &Path, logs: Option<&Path>, storm: bool) -> Result<Self> {
        Ok(Self::Aws(Box::new(Aws::start(root, logs, storm).await?)))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Aws(_) => "aws",
        }
    }

    /// Whether some of all calls fail.
    pub(crate) fn has_storm(&self) -> bool {
        self.as_aws().is_some_and(Aws::has_storm)
    }

    /// What only AWS's shape has.
    pub(crate) fn as_aws(&self) -> Option<&Aws> {
        match self {
            Self::Local(_) => None,
            Self::Aws(aws) => Some(aws),
        }
    }

    /// A user of this name; made if there is none.
    pub(crate) async fn user(&self, name: &str) -> Result<Api> {
        match self {
            Self::Local(local) => local.user(name),
            Self::Aws(aws) => aws.user(name).await,
        }
    }

    /// Whoever shows this token.
    pub(crate) fn bearer(&self, token: Option<&str>) -> Result<Api> {
        let base = match self {
            Self::Local(local) => local.base(),
            Self::Aws(aws) => aws.base(),
        };
        Api::new(&base, token.map(str::to_owned))
    }

    /// Kills all of a session's task from outside. `mark` stands in the command line of a command that
    /// runs in it.
    pub(crate) async fn kill_task(&self, session: &str, mark: &str) -> Result<()> {
        match self {
            Self::Local(_) => local::kill_task(mark),
            Self::Aws(aws) => aws.kill_task(session).await,
        }
    }

    /// Kills whoever works commands off, without a word to anybody.
    pub(crate) async fn kill_workers(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.kill_and_restart().await,
            Self::Aws(aws) => aws.kill_workers("exec"),
        }
    }

    /// Looks after what is due. One machine does so itself, every second.
    pub(crate) async fn sweep(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.sweep().await,
        }
    }

    /// All that was logged so far, by source.
    pub(crate) async fn logs(&self) -> Result<Vec<(String, String)>> {
        match self {
            Self::Local(local) => local.logs(),
            Self::Aws(aws) => aws.logs().await,
        }
    }

    /// No more faults.
    pub(crate) async fn calm(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.calm().await,
        }
    }

    /// An error if something still goes on after all scenarios, or was given up.
    pub(crate) async fn audit(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Aws(aws) => aws.audit().await,
        }
    }

    /// Ends everything. An error if something is left.
    pub(crate) fn leave(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.leave(),
            Self::Aws(aws) => aws.leave(),
        }
    }
}
