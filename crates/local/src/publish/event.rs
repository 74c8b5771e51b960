//! An event as it is published.

use domain::user_event::UserEvent;
use serde_json::{Value, json};

/// An event of any user.
#[derive(Debug, Clone)]
pub(crate) struct PublishedEvent {
    /// The number among the events of all users.
    pub(super) number: i64,
    pub(super) event: UserEvent,
}

impl PublishedEvent {
    /// The event as JSON: what `GET /v1/events` shows, without its number, and the user.
    pub(super) fn json(&self) -> Value {
        let UserEvent { id, user, session, job, event, at, body, .. } = &self.event;
        let body: Value = serde_json::from_str(body.expose()).unwrap_or_default();
        let mut json = json!({
            "eventId": id,
            "type": event,
            "timestamp": at,
            "user": user,
            "sessionId": session,
            "data": body["data"],
        });
        if let Some(job) = job {
            json["jobId"] = json!(job);
        }
        json
    }
}
