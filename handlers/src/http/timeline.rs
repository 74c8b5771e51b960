//! `GET /v1/sessions/{id}/events`: a session's timeline, oldest event first.

use axum::extract::State;
use domain::{
    EventId, SessionId, Timestamp,
    session::Status,
    timeline::{Actor, Entry, EventKind},
};
use serde::Serialize;

use super::{
    extract::{Id, Params, User},
    page,
    problem::Problem,
    reply::Reply,
    rule::digits,
    sessions,
};
use crate::Env;

/// Some events of a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Timeline<'a> {
    data: Vec<EventView<'a>>,
    /// The `after` of the next page.
    next_after: u32,
}

/// A timeline entry as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Event"))]
struct EventView<'a> {
    event_id: EventId,
    session_id: SessionId,
    #[cfg_attr(test, schemars(range(min = 1)))]
    seq: u32,
    at: Timestamp,
    r#type: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Status>,
    to: Status,
    actor: Actor,
    attempt: u32,
    /// Since the previous event.
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

/// Which events are wanted.
pub(super) struct TimelineQuery {
    after: u32,
    limit: u32,
}

impl TimelineQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let after = digits(0..=u32::MAX).describe("Begin after the event of this seq.");
        let after = params.with_default("after", after, 0);
        Self { after, limit: page::limit(params) }
    }
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Reply, Problem> {
    let TimelineQuery { after, limit } = params.read(TimelineQuery::read)?;
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
