//! An event as it leaves a deployment: for its operator, and for the bus of a deployment that has one.

use domain::user_event::UserEvent;
use serde_json::{Value, json};

/// The event as JSON: what `GET /v1/events` shows, without its number, and the user.
pub fn published_event(event: &UserEvent) -> Value {
    let UserEvent { id, user, session, job, event, at, body, .. } = event;
    // The body was written as JSON.
    let body: Value = serde_json::from_str(body.expose()).unwrap_or_default();
    let mut published = json!({
        "eventId": id,
        "type": event,
        "timestamp": at,
        "user": user,
        "sessionId": session,
        "data": body["data"],
    });
    if let Some(job) = job {
        published["jobId"] = json!(job);
    }
    published
}
