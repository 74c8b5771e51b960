//! `GET /v1/webhooks/deliveries` and `POST /v1/webhooks/deliveries/{id}/redeliver`.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    DeliveryId, SessionId, Timestamp, UserId,
    message::Message,
    ports::{Expect, Write},
    webhook::{Attempt, Delivery, EventType, Outcome},
};
use serde::Serialize;

use super::{
    cursor::Cursor,
    extract::{Id, Params, User},
    page::{List, PageQuery},
    post::{Plan, Post},
    problem::{Code, Problem},
    reply::Reply,
    rule::{FieldError, Rule, component, string},
};
use crate::{Env, outbox::Batch};

/// A webhook delivery as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Delivery"))]
pub(super) struct DeliveryView<'a> {
    /// The `webhook-id`.
    delivery_id: DeliveryId,
    session_id: SessionId,
    r#type: EventType,
    status: DeliveryStatus,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
enum DeliveryStatus {
    Pending,
    Delivered,
    Dead,
    Disabled,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct AttemptView<'a> {
    at: Timestamp,
    #[cfg_attr(test, schemars(range(min = 100, max = 599)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Which deliveries are wanted.
pub(super) struct DeliveriesQuery {
    session: Option<SessionId>,
    cursor: Cursor,
    page: PageQuery,
}

impl DeliveriesQuery {
    pub(super) fn read(params: &mut Params, user: &UserId) -> Self {
        let read = |value| {
            string(value)?.parse().map_err(|_| FieldError::new("must be the id of a session"))
        };
        let session: Option<SessionId> =
            params.optional("sessionId", Rule::new(read, || component("SessionId")));
        let filter = session.map(|id| id.to_string()).unwrap_or_default();
        let cursor = Cursor::new(format!("deliveries {user} {filter}"));
        let page = PageQuery::read(params, &cursor);
        Self { session, cursor, page }
    }
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    params: Params,
) -> Result<Reply, Problem> {
    let DeliveriesQuery { session, cursor, page } =
        params.read(|params| DeliveriesQuery::read(params, &user))?;
    let read = env.store.deliveries(&user, session, page.from.as_deref(), page.limit).await?;
    Ok(Reply::ok(&List::of(&read, &cursor, DeliveryView::of)))
}

pub(super) async fn redeliver(
    State(env): State<Env>,
    Id(id): Id<DeliveryId>,
    post: Post,
) -> Result<Response, Problem> {
    post.read_empty_body()?;
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let read = env.store.delivery(id).await?.filter(|r| r.value.payload().user == post.user);
        let read = read.ok_or_else(|| Problem::not_found("delivery", id))?;
        let delivery = restart(&env, read.value)?;
        let reply = Reply::new(StatusCode::ACCEPTED, &DeliveryView::of(&delivery));
        let session = delivery.payload().session;
        let write = Write::Delivery(Box::new(delivery), Expect::At(read.version));
        let notifications = vec![Message::DeliverWebhook { delivery: id }];
        let (batch, essential) = (Some(Batch::default().write(write)), false);
        let plan = Plan { session, essential, batch, notifications, reply };
        if let Some(response) = attempts.commit(plan).await? {
            return Ok(response);
        }
    }
}

/// The same delivery with all its attempts ahead, unless it is pending or its endpoint is gone.
fn restart(env: &Env, delivery: Delivery) -> Result<Delivery, Problem> {
    match delivery {
        Delivery::Pending(pending) => {
            let detail = format!("the next attempt is due at {}", pending.due_at());
            Err(Problem::new(Code::DeliveryPending, detail))
        }
        Delivery::Finished(finished) if finished.outcome() == Outcome::Disabled => {
            let detail = "the endpoint answered 410 Gone, so nothing more is sent to it";
            Err(Problem::new(Code::EndpointDisabled, detail))
        }
        Delivery::Finished(finished) => Ok(finished.redeliver(env.now()).into()),
    }
}

impl<'a> DeliveryView<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let payload = delivery.payload();
        let (status, settled_at) = match delivery {
            Delivery::Pending(_) => (DeliveryStatus::Pending, None),
            Delivery::Finished(finished) => {
                (DeliveryStatus::of(finished.outcome()), Some(finished.at()))
            }
        };
        Self {
            delivery_id: payload.id,
            session_id: payload.session,
            r#type: payload.event,
            status,
            created_at: payload.created_at,
            next_attempt_at: delivery.due_at(),
            settled_at,
            attempts: delivery.attempts().iter().map(AttemptView::of).collect(),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self { at: attempt.at, status: attempt.status, error: attempt.error.as_deref() }
    }
}

impl DeliveryStatus {
    const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Dead => Self::Dead,
            Outcome::Disabled => Self::Disabled,
        }
    }
}
