//! The permission to open the data channel of a job's terminal.

use serde::{Deserialize, Serialize};

use crate::{Secret, Timestamp};

/// What a client needs to open the data channel of a terminal, once, in the shape that ECS
/// `ExecuteCommand` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalAccess {
    /// The id of the channel. AWS calls it a session.
    pub channel: String,
    /// The WebSocket to connect to.
    pub stream_url: String,
    /// The first message on the WebSocket must contain this token, which is valid once.
    pub token: Secret<String>,
    /// When the token stops being valid if it was not used.
    pub expires_at: Timestamp,
}
