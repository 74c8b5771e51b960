//! `GET /v1/events`: all events of a user, oldest first; with `waitSeconds` a long poll.

use std::time::Duration;

use axum::extract::State;
use domain::{
    EventId, JobId, SessionId, Timestamp,
    ports::BackendError,
    user_event::{EventNumber, UserEvent},
    webhook::EventType,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    extract::{Params, User},
    jobs::wait_seconds,
    page,
    problem::{InputError, Problem},
    reply::Reply,
    rule::{FieldError, Rule, string},
};
use crate::Env;

/// The value of `after` for the end of the events.
const LATEST: &str = "latest";

/// Some events of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct UserEvents {
    data: Vec<UserEventView>,
    /// The `after` of the next request.
    next_after: u64,
}

/// An event as the API shows it: what the body of a webhook says, and what it is about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UserEvent"))]
struct UserEventView {
    event_id: EventId,
    /// The number among the events of the user.
    #[cfg_attr(test, schemars(range(min = 1)))]
    seq: u64,
    r#type: EventType,
    timestamp: Timestamp,
    session_id: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    /// The session, or the job without its output, as it was then.
    data: Value,
}

/// What is read of a stored body.
#[derive(Deserialize)]
struct Body {
    data: Value,
}

/// Which events are wanted.
pub(super) struct EventsQuery {
    after: After,
    limit: u32,
    wait: Duration,
}

/// Where the wanted events begin.
enum After {
    Number(EventNumber),
    Latest,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    params: Params,
) -> Result<Reply, Problem> {
    let query = params.read(EventsQuery::read)?;
    let after = match query.after {
        After::Number(number) => number,
        After::Latest => env.store.last_event(&user).await?,
    };
    let mut found = env.store.user_events(&user, after, query.limit).await?;
    if found.is_empty() {
        if after > env.store.last_event(&user).await? {
            let wrong = FieldError::new("no event has this number: begin at 0, or at latest");
            return Err(Problem::invalid(vec![InputError::in_query("after", wrong)]));
        }
        if !query.wait.is_zero() {
            env.changes.event_added(&user, after, env.now() + query.wait).await?;
            found = env.store.user_events(&user, after, query.limit).await?;
        }
    }
    let next_after = found.last().map_or(after, |(number, _)| *number).0;
    let data = found.into_iter().map(|(number, event)| UserEventView::of(number, event));
    let data = data.collect::<Result<_, _>>()?;
    Ok(Reply::ok(&UserEvents { data, next_after }))
}

impl EventsQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let after = Rule::new(
            |value: Value| After::read(&string(value)?),
            || json!({"type": "string", "pattern": format!("^({LATEST}|[0-9]{{1,15}})$")}),
        );
        let after = after.with("default", &"0").describe(
            "Begin after the event of this seq: the nextAfter of the last response. \
             0 is the oldest event that is kept; latest is the end.",
        );
        let after = params.optional("after", after).unwrap_or(After::Number(EventNumber(0)));
        let wait = wait_seconds().describe(
            "How long to wait for an event if there is none; the response is empty then.",
        );
        let seconds = params.with_default("waitSeconds", wait, 0);
        let wait = Duration::from_secs(seconds.into());
        Self { after, limit: page::limit(params), wait }
    }
}

impl After {
    fn read(text: &str) -> Result<Self, FieldError> {
        if text == LATEST {
            return Ok(Self::Latest);
        }
        let is_number = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = if is_number { text.parse().ok() } else { None };
        let wrong = || FieldError::new("must be a number of up to 15 digits, or latest");
        number.map(|number| Self::Number(EventNumber(number))).ok_or_else(wrong)
    }
}

impl UserEventView {
    fn of(number: EventNumber, event: UserEvent) -> Result<Self, BackendError> {
        let Body { data } = serde_json::from_str(event.body.expose())
            .map_err(|error| BackendError::new("decoding an event", error))?;
        Ok(Self {
            event_id: event.id,
            seq: number.0,
            r#type: event.event,
            timestamp: event.at,
            session_id: event.session,
            job_id: event.job,
            data,
        })
    }
}
