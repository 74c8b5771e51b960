//! The queues that pass work on.

use std::time::Duration;

use async_trait::async_trait;

use super::BackendError;
use crate::message::Message;

/// Sends messages: at least once, in no order. The record's `due_at` makes up for a lost message.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends a message that arrives after `delay` at the earliest. `delay` is 15 minutes at most.
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError>;
}
