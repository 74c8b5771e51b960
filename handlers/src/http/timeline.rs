//! `GET /v1/sessions/{id}/events`: what happened to a session, in order.

use axum::extract::State;
use domain::{
    EventId, SessionId, Timestamp,
    session::Status,
    timeline::{Actor, Entry, EventKind},
};
use serde::Serialize;

use super::{
    extract::{Id, Params, User, limit, number},
    problem::Problem,
    reply::Reply,
    sessions::{self, MOST},
};
use crate::Env;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timeline<'a> {
    data: Vec<EventView<'a>>,
    /// The `after` that the next part begins with.
    next_after: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView<'a> {
    event_id: EventId,
    session_id: SessionId,
    seq: u32,
    at: Timestamp,
    r#type: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Status>,
    to: Status,
    actor: Actor,
    attempt: u32,
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    mut params: Params,
) -> Result<Reply, Problem> {
    let after = params.take("after", number(0..=u64::from(u32::MAX)));
    let after = after.and_then(|after| u32::try_from(after).ok()).unwrap_or(0);
    let limit = limit(&mut params, MOST);
    params.finish()?;
    sessions::owned(&env, &user, id).await?;
    let entries = env.store.timeline(id, after, limit).await?;
    let next_after = entries.last().map_or(after, |entry| entry.seq);
    let data = entries.iter().map(EventView::of).collect();
    Ok(Reply::ok(&Timeline { data, next_after }))
}

impl<'a> EventView<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            event_id: entry.id,
            session_id: entry.session,
            seq: entry.seq,
            at: entry.at,
            r#type: entry.kind,
            from: entry.from,
            to: entry.to,
            actor: entry.actor,
            attempt: entry.attempt,
            latency_ms: entry.latency_ms,
            cause: entry.cause.as_deref(),
        }
    }
}
