//! The reason for which a channel was closed.

use std::sync::Arc;

use thiserror::Error;

/// The source of an error that callers do not match on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The reason for which a channel was closed.
#[derive(Debug, Clone)]
pub enum CloseReason {
    /// The service ended the session (`channel_closed`). The server end acts as the service.
    Ended {
        /// A human-readable reason; often empty.
        message: String,
        /// The exit code, if the session's document reports one. ECS Exec never does.
        exit_code: Option<i32>,
    },
    /// The application dropped this end of the channel.
    Dropped,
    /// The connection failed, was closed without `channel_closed`, or timed out.
    Lost(Arc<dyn std::error::Error + Send + Sync>),
}

/// The source of [`CloseReason::Lost`].
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("connection closed by the peer with code {0}")]
    ClosedWithCode(u16),
    #[error("connection closed by the peer")]
    Disconnected,
    #[error("service refused the channel: {0}")]
    Refused(String),
    #[error("peer did not answer keepalive pings")]
    KeepaliveTimeout,
    #[error("peer did not acknowledge messages in time")]
    AcknowledgementTimeout,
    #[error("connection failed")]
    WebSocket(#[source] tokio_tungstenite::tungstenite::Error),
    #[error("runtime is shutting down")]
    RuntimeShutdown,
}

impl ConnectionError {
    /// Whether the peer closed the connection because it has finished with it.
    pub(crate) fn is_departure(&self) -> bool {
        matches!(self, Self::Disconnected | Self::ClosedWithCode(1000 | 1001))
    }
}

impl From<ConnectionError> for CloseReason {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(Arc::new(error))
    }
}
