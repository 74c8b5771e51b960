use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The payload of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge<'a> {
    #[serde(rename = "AcknowledgedMessageType", borrow, default)]
    pub message_type: Cow<'a, str>,
    #[serde(rename = "AcknowledgedMessageId", borrow, default)]
    pub message_id: Cow<'a, str>,
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    #[serde(rename = "IsSequentialMessage", default)]
    pub is_sequential: bool,
}

/// The payload of the agent's handshake request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    #[serde(default)]
    pub agent_version: String,
    pub requested_client_actions: Vec<RequestedAction>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    pub action_type: String,
    #[serde(default)]
    pub action_parameters: Value,
}

/// The payload of the client's handshake response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    #[serde(default)]
    pub client_version: String,
    #[serde(default)]
    pub processed_client_actions: Vec<ProcessedAction>,
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    pub action_type: String,
    pub action_status: u32,
    #[serde(default)]
    pub action_result: Value,
    #[serde(default)]
    pub error: String,
}

/// Values of [`ProcessedAction::action_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    Success = 1,
    Failed = 2,
    Unsupported = 3,
}

/// The payload of the agent's last message of the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// The duration of the handshake in nanoseconds.
    #[serde(default)]
    pub handshake_time_to_complete: u64,
    #[serde(default)]
    pub customer_message: String,
}

/// The size of the client's terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
}

/// The payload of the service's last message, `channel_closed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosed {
    pub message_id: String,
    /// The creation time as text; AWS's client fails on a number.
    pub created_date: String,
    pub destination_id: String,
    pub session_id: String,
    pub message_type: String,
    pub schema_version: u32,
    /// A human-readable reason; often empty.
    pub output: String,
}

impl Default for ChannelClosed {
    fn default() -> Self {
        Self {
            message_id: String::new(),
            created_date: String::new(),
            destination_id: String::new(),
            session_id: String::new(),
            message_type: "channel_closed".to_owned(),
            schema_version: 1,
            output: String::new(),
        }
    }
}

/// Parses an exit code of the form `EXIT_CODE: N`.
pub fn parse_exit_code(payload: &[u8]) -> Option<i32> {
    std::str::from_utf8(payload).ok()?.trim().strip_prefix("EXIT_CODE:")?.trim().parse().ok()
}
