use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CLIENT_VERSION;
use crate::frame::MessageId;

/// The secret that opens a data channel. Its `Debug` hides it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Compares the token with `other` in constant time for equal lengths.
    pub fn is(&self, other: &str) -> bool {
        let differing = self.0.bytes().zip(other.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
        self.0.len() == other.len() && differing == 0
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The first message on a connection and the only text message (`OpenDataChannelInput` in AWS's sources).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    message_schema_version: &'static str,
    pub request_id: String,
    #[serde(rename = "TokenValue")]
    pub token: Token,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
}

impl OpenDataChannel {
    pub fn new(token: Token, request: MessageId, client: MessageId) -> Self {
        Self {
            message_schema_version: "1.0",
            request_id: request.to_string(),
            token,
            client_id: Some(client.to_string()),
            client_version: Some(CLIENT_VERSION.to_owned()),
        }
    }

    /// Parses the message; `None` if it is not JSON with a token. Other fields are optional, because some clients omit them or send
    /// the schema version as a number.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            message_schema_version: "1.0",
            request_id: text("RequestId").unwrap_or_default(),
            token: Token(text("TokenValue")?),
            client_id: text("ClientId"),
            client_version: text("ClientVersion"),
        })
    }
}
