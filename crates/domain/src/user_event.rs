//! The events of a user: what webhooks report, kept so that a client without a webhook can read it.

use serde::{Deserialize, Serialize};

use crate::{EventId, JobId, Secret, SessionId, Timestamp, UserId, webhook::EventType};

/// One event of a user. The store numbers the events of each user, in the order in which they are
/// committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserEvent {
    /// Unique. The id of the timeline's entry, if the event is a transition of the session.
    pub id: EventId,
    /// The owner of the session.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The job, if the event is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What happened.
    pub event: EventType,
    /// When it happened.
    pub at: Timestamp,
    /// When the event may be removed.
    pub expires_at: Timestamp,
    /// The body of a webhook that reports the event.
    pub body: Secret<String>,
}

/// The number of an event among those of its user, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventNumber(pub u64);

impl EventNumber {
    /// The number of the event that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
