//! Sends one webhook once, and records what came of it.
//!
//! Safe to repeat: the attempt is claimed on record first. A worker that dies in between leaves a
//! delivery that is due again; the endpoint may see it twice, with the same `webhook-id`.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    DeliveryId, Secret, SessionId, Timestamp,
    message::Message,
    ports::{Expect, PostError, Posted, SignedPost, Version, Versioned, Write},
    webhook::{Attempt, Delivery, Endpoint, Pending},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{
    Code, Env, HandlerError, notification,
    outbox::Batch,
    transition::{self, RetryOnConflict},
};

/// What a secret starts with (Standard Webhooks).
pub(crate) const SECRET_PREFIX: &str = "whsec_";
/// The longest delay that a queue takes; what is due later is found by the sweep.
const LONGEST_DELAY: Duration = Duration::from_mins(15);

pub(crate) async fn handle(env: &Env, id: DeliveryId) -> Result<(), HandlerError> {
    let Some(read) = env.store.delivery(id).await? else { return Ok(()) };
    let Delivery::Pending(pending) = read.value else { return Ok(()) };
    let now = env.now();
    if pending.due_at() > now {
        return Ok(());
    }
    let session = env.store.session(pending.payload().session).await?;
    let endpoint = session.as_ref().and_then(|read| read.value.webhook()).filter(|e| !e.gone);
    let Some(endpoint) = endpoint else {
        put(env, pending.disabled(None, now).into(), read.version).await?;
        return Ok(());
    };
    let begun = pending.begin(now);
    if !put(env, begun.clone().into(), read.version).await? {
        return Ok(());
    }
    let answer = env.webhooks.post(&signed(endpoint, &begun, now)?).await;
    let next = judge(env, begun, answer.as_ref(), now);
    if is_gone(answer.as_ref()) {
        disable(env, next.payload().session).await?;
    }
    let due_at = next.due_at();
    put(env, next, Version(read.version.0 + 1)).await?;
    if let Some(due_at) = due_at {
        let delay = due_at.since(env.now());
        if delay <= LONGEST_DELAY {
            notification::send(env, Message::DeliverWebhook { delivery: id }, delay).await;
        }
    }
    Ok(())
}

/// Signs as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body`.
fn signed(
    endpoint: &Endpoint,
    pending: &Pending,
    now: Timestamp,
) -> Result<SignedPost, HandlerError> {
    let payload = pending.payload();
    let (id, timestamp) = (payload.id.to_string(), now.millis() / 1000);
    let secret = endpoint.secret.expose();
    let key = BASE64_STANDARD
        .decode(secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret))
        .map_err(|_| HandlerError::new(Code::Backend, "the webhook's secret can't be read"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("an HMAC key may be of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(payload.body.expose().as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    Ok(SignedPost {
        url: endpoint.url.clone(),
        id,
        timestamp,
        signature: Secret::new(format!("v1,{signature}")),
        body: payload.body.clone(),
    })
}

fn judge(
    env: &Env,
    pending: Pending,
    answer: Result<&Posted, &PostError>,
    at: Timestamp,
) -> Delivery {
    let now = env.now();
    let status = answer.ok().map(|posted| posted.status);
    let error = answer.err().map(ToString::to_string);
    let attempt = Attempt { at, status, error };
    match answer {
        Ok(posted) if (200..300).contains(&posted.status) => pending.delivered(attempt, now).into(),
        Ok(posted) if posted.status == 410 => pending.disabled(Some(attempt), now).into(),
        Ok(posted) => pending.failed(attempt, posted.retry_after, env.ids.fraction(), now),
        Err(_) => pending.failed(attempt, None, env.ids.fraction(), now),
    }
}

fn is_gone(answer: Result<&Posted, &PostError>) -> bool {
    answer.is_ok_and(|posted| posted.status == 410)
}

/// From here on nothing more is sent to this endpoint.
async fn disable(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let mut rounds = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = rounds.next().await?;
        if transition::put(env, value.webhook_gone(), version).await? {
            return Ok(());
        }
    }
}

/// False if somebody else has moved it on.
async fn put(env: &Env, delivery: Delivery, read: Version) -> Result<bool, HandlerError> {
    let write = Write::Delivery(Box::new(delivery), Expect::At(read));
    Batch::default().write(write).put(env).await
}
