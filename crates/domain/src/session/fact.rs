//! Facts on a session's record. Each is written once.

use serde::{Deserialize, Serialize};

use crate::{
    Secret, Timestamp,
    task::{StopCause, StopCode},
    timeline::Actor,
};

/// Why a session ends.
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
    ReapedOrphan,
    Internal,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::UserStop,
        Self::TtlExpired,
        Self::IdleTimeout,
        Self::CommandFinished,
        Self::TaskExited,
        Self::OomKilled,
        Self::SpotInterruption,
        Self::ProvisionTimeout,
        Self::CapacityUnavailable,
        Self::ReapedOrphan,
        Self::Internal,
    ];

    /// Whether the platform, not the owner or the clock, ended it.
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::UserStop | Self::TtlExpired | Self::IdleTimeout | Self::CommandFinished
        )
    }

    /// The word that the API uses.
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
            Self::ReapedOrphan => "reaped_orphan",
            Self::Internal => "internal",
        }
    }

    /// The reason that a task's own end gives.
    pub const fn of_task(cause: &StopCause) -> Self {
        match cause.code {
            StopCode::OutOfMemory => Self::OomKilled,
            StopCode::Interrupted => Self::SpotInterruption,
            StopCode::FailedToStart => Self::Internal,
            StopCode::Exited | StopCode::Requested | StopCode::Other => Self::TaskExited,
        }
    }
}

/// Somebody or something decided that the session ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Who.
    pub actor: Actor,
    /// The owner's or the provider's words.
    pub note: Option<String>,
}

/// The session ends once its jobs are done; it takes no new ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Since when.
    pub at: Timestamp,
    /// Why it will end.
    pub reason: Reason,
    /// The owner's words.
    pub note: Option<String>,
}

/// The task is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopped {
    /// When it was seen.
    pub at: Timestamp,
    /// Why.
    pub cause: Option<StopCause>,
}

/// An execution that waits to be rung. Kept until another one takes its place: ringing a bell
/// twice is harmless, losing one is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiter {
    /// What to ring with.
    pub token: Secret<String>,
    /// What it waits for.
    pub waits: Waits,
    /// When its own timer goes off.
    pub until: Timestamp,
}

/// What an execution can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waits {
    /// Ready, or anything that makes that impossible.
    Running,
    /// A reason to stop.
    End,
    /// The task's end.
    Stopped,
}
