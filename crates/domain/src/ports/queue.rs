//! How work is handed on.

use std::time::Duration;

use async_trait::async_trait;

use super::BackendError;
use crate::message::Message;

/// Sends messages. At least once, in no order; a lost one is made good by the record's `due_at`.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends a message that arrives after `delay` at the earliest; at most 15 minutes.
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError>;
}
