//! `GET /v1/webhooks/deliveries` and redelivery: what was sent, and sending it again.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    DeliveryId, SessionId, Timestamp,
    message::Message,
    ports::{Expect, Page, Write},
    webhook::{Attempt, Delivery, EventType, Outcome},
};
use serde::Serialize;

use super::{
    cursor::Cursor,
    extract::{Id, Params, User, limit},
    fields,
    post::{Plan, Post},
    problem::{Code, Problem},
    reply::Reply,
    sessions::{List, MOST},
};
use crate::{Env, outbox::Batch};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryView<'a> {
    /// The `webhook-id`.
    delivery_id: DeliveryId,
    session_id: SessionId,
    r#type: EventType,
    status: &'static str,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptView<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    mut params: Params,
) -> Result<Reply, Problem> {
    let session = params.take("sessionId", |text| {
        text.parse::<SessionId>().map_err(|_| "must be the id of a session".into())
    });
    let limit = limit(&mut params, MOST);
    let filter = session.map(|id| id.to_string()).unwrap_or_default();
    let cursor = Cursor::new(format!("deliveries {user} {filter}"));
    let from = params.take("cursor", |text| cursor.read(text));
    params.finish()?;
    let Page { items, next } = env.store.deliveries(&user, session, from.as_deref(), limit).await?;
    let data = items.iter().map(DeliveryView::of).collect();
    Ok(Reply::ok(&List { data, next_cursor: next.map(|next| cursor.write(&next)) }))
}

pub(super) async fn redeliver(
    State(env): State<Env>,
    Id(id): Id<DeliveryId>,
    post: Post,
) -> Result<Response, Problem> {
    fields::object(post.body.expose(), |_| Some(()))?;
    let mut rounds = post.rounds(&env);
    loop {
        let read = env.store.delivery(id).await?.filter(|r| r.value.payload().user == post.user);
        let read = read.ok_or_else(|| Problem::not_found("delivery"))?;
        let delivery = again(&env, read.value)?;
        let reply = Reply::new(StatusCode::ACCEPTED, &DeliveryView::of(&delivery));
        let write = Write::Delivery(Box::new(delivery), Expect::At(read.version));
        let bells = vec![Message::DeliverWebhook { delivery: id }];
        let plan = Plan { batch: Some(Batch::default().write(write)), bells, reply };
        if let Some(response) = rounds.write(plan).await? {
            return Ok(response);
        }
    }
}

fn again(env: &Env, delivery: Delivery) -> Result<Delivery, Problem> {
    match delivery {
        Delivery::Pending(pending) => {
            let detail = format!("the next attempt is due at {}", pending.due_at());
            Err(Problem::new(Code::DeliveryPending, detail))
        }
        Delivery::Finished(finished) if finished.outcome() == Outcome::Disabled => {
            let detail = "the endpoint answered 410 Gone, so nothing is sent there any more";
            Err(Problem::new(Code::EndpointDisabled, detail))
        }
        Delivery::Finished(finished) => Ok(finished.redeliver(env.now()).into()),
    }
}

impl<'a> DeliveryView<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let payload = delivery.payload();
        let (status, settled_at) = match delivery {
            Delivery::Pending(_) => ("pending", None),
            Delivery::Finished(finished) => (word(finished.outcome()), Some(finished.at())),
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

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Dead => "dead",
        Outcome::Disabled => "disabled",
    }
}
