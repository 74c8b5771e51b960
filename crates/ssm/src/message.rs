//! Message types, payload types, and the JSON payloads of control messages.

mod control;
mod open;
#[cfg(test)]
mod tests;

pub use control::{
    Acknowledge, ActionStatus, ChannelClosed, HandshakeComplete, HandshakeRequest,
    HandshakeResponse, ProcessedAction, RequestedAction, Size, parse_exit_code,
};
pub use open::{OpenDataChannel, Token};

/// The client version that this client reports: the first release of session-manager-plugin that signs the upgrade request, and the
/// oldest that AWS documents as supported.
pub const CLIENT_VERSION: &str = "1.2.764.0";

/// The version of amazon-ssm-agent that the server end reports.
pub const AGENT_VERSION: &str = "3.3.0.0";

/// The type of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageType {
    /// Client to agent; sequenced and acknowledged.
    InputStreamData,
    /// Agent to client; sequenced and acknowledged.
    OutputStreamData,
    Acknowledge,
    /// From the service: the session has ended.
    ChannelClosed,
    /// From the service: the peer is connected; data may be sent.
    StartPublication,
    /// From the service: the peer is disconnected; sending must pause.
    PausePublication,
    Other(String),
}

impl MessageType {
    pub fn as_str(&self) -> &str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for MessageType {
    fn from(name: &str) -> Self {
        match name {
            "input_stream_data" => Self::InputStreamData,
            "output_stream_data" => Self::OutputStreamData,
            "acknowledge" => Self::Acknowledge,
            "channel_closed" => Self::ChannelClosed,
            "start_publication" => Self::StartPublication,
            "pause_publication" => Self::PausePublication,
            name => Self::Other(name.to_owned()),
        }
    }
}

macro_rules! payload_types {
    ($($(#[$doc:meta])* $number:literal $name:ident,)*) => {
        /// The type of the payload of a stream message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum PayloadType { $($(#[$doc])* $name,)* Other(u32) }

        impl From<u32> for PayloadType {
            fn from(number: u32) -> Self {
                match number { $($number => Self::$name,)* other => Self::Other(other) }
            }
        }

        impl From<PayloadType> for u32 {
            fn from(payload_type: PayloadType) -> Self {
                match payload_type { $(PayloadType::$name => $number,)* PayloadType::Other(other) => other }
            }
        }
    };
}

payload_types! {
    /// The payload type of acknowledgements.
    0 Absent,
    /// Terminal bytes, in both directions.
    1 Output,
    2 Error,
    /// A terminal size, see [`Size`].
    3 Size,
    4 Parameter,
    5 HandshakeRequest,
    6 HandshakeResponse,
    7 HandshakeComplete,
    8 EncryptionChallengeRequest,
    9 EncryptionChallengeResponse,
    /// A big-endian `u32`: see [`TERMINATE_SESSION`].
    10 Flag,
    /// Standard error, only in sessions whose document separates the streams.
    11 StdErr,
    /// The exit code as text, see [`parse_exit_code`].
    12 ExitCode,
}

/// The [`PayloadType::Flag`] with which a client ends the session.
pub const TERMINATE_SESSION: u32 = 2;
