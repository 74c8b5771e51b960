//! The status of a session as the API shows it.

use serde::{Deserialize, Serialize};

/// A session's status. `queued` is a session that waits for a slot of its user or for its task, `stopped` one that
/// ended as its user or a deadline wanted, and `failed` one that the platform ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionStatus"))]
pub enum Status {
    Queued,
    Provisioning,
    Starting,
    Ready,
    Stopping,
    Stopped,
    Failed,
}

impl Status {
    /// All statuses, in the order of a session's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Provisioning,
        Self::Starting,
        Self::Ready,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
    ];

    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Provisioning => "provisioning",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}
