//! An event as it is published.

use domain::user_event::UserEvent;
use serde_json::Value;

/// An event of any user.
#[derive(Debug, Clone)]
pub(crate) struct PublishedEvent {
    /// The number among the events of all users.
    pub(super) number: i64,
    pub(super) event: UserEvent,
}

impl PublishedEvent {
    pub(super) fn json(&self) -> Value {
        handlers::published_event(&self.event)
    }
}
