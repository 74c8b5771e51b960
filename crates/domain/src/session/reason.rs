//! Why a session ends.

use serde::{Deserialize, Serialize};

use crate::task::{StopCause, StopCode};

/// Why a session ends. The first reason stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Reason {
    UserStop,
    TtlExpired,
    IdleTimeout,
    CommandFinished,
    TaskExited,
    OomKilled,
    SpotInterruption,
    ProvisionTimeout,
    CapacityUnavailable,
    FilesRefused,
    ReapedOrphan,
    Internal,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::UserStop,
        Self::TtlExpired,
        Self::IdleTimeout,
        Self::CommandFinished,
        Self::TaskExited,
        Self::OomKilled,
        Self::SpotInterruption,
        Self::ProvisionTimeout,
        Self::CapacityUnavailable,
        Self::FilesRefused,
        Self::ReapedOrphan,
        Self::Internal,
    ];

    /// Whether the platform ended the session, and neither its owner nor a deadline. Such a session is
    /// `failed`, any other `stopped`.
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::UserStop | Self::TtlExpired | Self::IdleTimeout | Self::CommandFinished
        )
    }

    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserStop => "user_stop",
            Self::TtlExpired => "ttl_expired",
            Self::IdleTimeout => "idle_timeout",
            Self::CommandFinished => "command_finished",
            Self::TaskExited => "task_exited",
            Self::OomKilled => "oom_killed",
            Self::SpotInterruption => "spot_interruption",
            Self::ProvisionTimeout => "provision_timeout",
            Self::CapacityUnavailable => "capacity_unavailable",
            Self::FilesRefused => "files_refused",
            Self::ReapedOrphan => "reaped_orphan",
            Self::Internal => "internal",
        }
    }

    /// The reason of a session whose task stopped by itself for this cause.
    pub const fn of_task(cause: &StopCause) -> Self {
        match cause.code {
            StopCode::OutOfMemory => Self::OomKilled,
            StopCode::Interrupted => Self::SpotInterruption,
            StopCode::FailedToStart => Self::Internal,
            StopCode::Exited | StopCode::Requested | StopCode::Other => Self::TaskExited,
        }
    }
}
