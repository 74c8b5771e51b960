//! Posts one webhook once, and records the result.
//!
//! Safe to repeat: the attempt is on record before the request is sent. A worker that dies in between
//! leaves a delivery that becomes due again. Its endpoint may then get the request twice, with the
//! same `webhook-id`.

use std::time::Duration;

use domain::{
    DeliveryId, SessionId, Timestamp,
    message::Message,
    ports::{Expect, PostError, Posted, SignedPost, Version, Versioned, Write},
    webhook::{Attempt, Delivery, Endpoint, Pending},
};

use crate::{
    Code, Env, HandlerError, notification,
    outbox::Batch,
    transition::{self, RetryOnConflict},
    webhook_signature::sign_webhook,
};

/// How long the endpoint may take to answer the first attempt. Most endpoints answer much faster, and one
/// that does not must not hold up others.
const FIRST_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for later attempts.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest delay of a message that every queue takes. The sweep finds what is due later.
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
    let result = env.webhooks.post(&sign(endpoint, &begun, now)?).await;
    record(env, begun, Version(read.version.0 + 1), result.as_ref(), now).await
}

/// Records the result of an attempt, and schedules the next one.
async fn record(
    env: &Env,
    begun: Pending,
    version: Version,
    result: Result<&Posted, &PostError>,
    at: Timestamp,
) -> Result<(), HandlerError> {
    let (id, session) = (begun.payload().id, begun.payload().session);
    let next = after_attempt(env, begun, result, at);
    if is_gone(result) {
        disable_endpoint(env, session).await?;
    }
    let due_at = next.due_at();
    put(env, next, version).await?;
    if let Some(due_at) = due_at {
        let delay = due_at.since(env.now());
        if delay <= LONGEST_DELAY {
            notification::send(env, Message::DeliverWebhook { delivery: id }, delay).await;
        }
    }
    Ok(())
}

/// The request of an attempt.
fn sign(
    endpoint: &Endpoint,
    pending: &Pending,
    now: Timestamp,
) -> Result<SignedPost, HandlerError> {
    let payload = pending.payload();
    let (id, timestamp) = (payload.id.to_string(), now.millis() / 1000);
    let signature =
        sign_webhook(&endpoint.secret, &id, timestamp, payload.body.expose()).map_err(|error| {
            HandlerError::new(Code::Backend, format!("webhook delivery {id}: {error}"))
        })?;
    Ok(SignedPost {
        url: endpoint.url.clone(),
        id,
        timestamp,
        signature,
        body: payload.body.clone(),
        user: payload.user.clone(),
        timeout: if pending.tries() > 1 { TIMEOUT } else { FIRST_TIMEOUT },
    })
}

/// The delivery after an attempt with this result.
fn after_attempt(
    env: &Env,
    pending: Pending,
    result: Result<&Posted, &PostError>,
    at: Timestamp,
) -> Delivery {
    let now = env.now();
    if let Err(PostError::Resting(delay)) = result {
        return pending.postpone(*delay, now).into();
    }
    let status = result.ok().map(|posted| posted.status);
    let error = result.err().map(ToString::to_string);
    let attempt = Attempt { at, status, error };
    match result {
        Ok(posted) if (200..300).contains(&posted.status) => pending.delivered(attempt, now).into(),
        Ok(posted) if posted.status == 410 => pending.disabled(Some(attempt), now).into(),
        Ok(posted) => pending.failed(attempt, posted.retry_after, env.ids.fraction(), now),
        Err(_) => pending.failed(attempt, None, env.ids.fraction(), now),
    }
}

/// Whether the endpoint answered that it wants no more requests.
fn is_gone(result: Result<&Posted, &PostError>) -> bool {
    result.is_ok_and(|posted| posted.status == 410)
}

/// Records that nothing more is sent to the endpoint of this session.
async fn disable_endpoint(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = retry.next().await?;
        if transition::put(env, value.webhook_gone(), version).await? {
            return Ok(());
        }
    }
}

/// Writes a delivery. Returns false if it is not at the version that was read.
async fn put(env: &Env, delivery: Delivery, read: Version) -> Result<bool, HandlerError> {
    let write = Write::Delivery(Box::new(delivery), Expect::At(read));
    Batch::default().write(write).put(env).await
}

#[cfg(test)]
mod tests;
