use std::sync::Arc;

use thiserror::Error;

/// A cause that nobody branches on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a channel is over.
#[derive(Debug, Clone)]
pub enum Closed {
    /// The service said so; the server is the service.
    Ended {
        /// Why, for people; mostly empty.
        message: String,
        /// Only from sessions whose document reports one; never from ECS Exec.
        exit_code: Option<i32>,
    },
    /// This side dropped it.
    Left,
    /// The connection broke, was closed without a word, or the peer stopped to acknowledge.
    Lost(Arc<dyn std::error::Error + Send + Sync>),
}

/// What [`Closed::Lost`] has inside.
#[derive(Debug, Error)]
pub(crate) enum Loss {
    #[error("connection closed by the peer with code {0}")]
    Code(u16),
    #[error("connection closed by the peer")]
    Disconnected,
    #[error("nothing heard from the peer for too long")]
    Silent,
    #[error("peer does not acknowledge")]
    Unacknowledged,
    #[error("connection failed")]
    Broken(#[source] tokio_tungstenite::tungstenite::Error),
    #[error("runtime is shutting down")]
    Stopped,
}

impl From<Loss> for Closed {
    fn from(loss: Loss) -> Self {
        Self::Lost(Arc::new(loss))
    }
}
