//! `POST /v1/sessions/{id}/extend`: moves a session's deadline.

use std::time::Duration;

use axum::{extract::State, response::Response};
use domain::{
    SessionId, Timestamp,
    message::Message,
    ports::Expect,
    session::{Ready, Session},
    timeline::Actor,
};

use serde_json::{Value, json};

use super::{
    extract::Id,
    fields::Fields,
    post::{Plan, Post},
    problem::{InputError, Problem},
    rule::{FieldError, Rule, boolean, component, integer, timestamp},
    sessions,
};
use crate::{Env, outbox::Batch};

/// What the document says of a lifetime.
const LIMIT: &str = "At most the deployment's longest lifetime.";

/// What an extension asks for.
pub(super) struct ExtendRequest {
    expires_at: Timestamp,
    allow_shorten: bool,
}

pub(super) async fn handle(
    State(env): State<Env>,
    Id(id): Id<SessionId>,
    post: Post,
) -> Result<Response, Problem> {
    let now = env.now();
    let max_ttl = env.policy.max_ttl;
    let request = post.read_body(|fields| ExtendRequest::read(fields, now, max_ttl))?;
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let read = sessions::owned(&env, &post.user, id).await?;
        let ready = sessions::ready(read.value)?;
        check_lifetime(&env, &ready, &request)?;
        let plan = plan(&env, ready, Expect::At(read.version), &request).await?;
        if let Some(response) = attempts.commit(plan).await? {
            return Ok(response);
        }
    }
}

/// Refuses a deadline beyond the longest lifetime of the deployment, counted from when the session was ready.
fn check_lifetime(env: &Env, ready: &Ready, request: &ExtendRequest) -> Result<(), Problem> {
    let since = Session::Ready(ready.clone()).ready_at();
    let (Some(lifetime), Some(since)) = (env.policy.max_lifetime, since) else { return Ok(()) };
    let latest = since + lifetime;
    if request.expires_at <= latest {
        return Ok(());
    }
    let detail = format!(
        "a session of this deployment ends {} s after it was ready: at {latest}",
        lifetime.as_secs()
    );
    Err(Problem::invalid(vec![InputError::in_body("", FieldError::new(detail))]))
}

/// An earlier deadline counts only if the request allows it; otherwise the session stays as it is.
async fn plan(
    env: &Env,
    ready: Ready,
    read: Expect,
    request: &ExtendRequest,
) -> Result<Plan, Problem> {
    let session = Session::Ready(ready.clone());
    let id = session.id();
    let old = session.common().expires_at;
    let shorter = request.expires_at < old;
    if request.expires_at == old || (shorter && !request.allow_shorten) {
        let reply = sessions::reply(env, &session).await?;
        let notifications = Vec::new();
        return Ok(Plan { session: id, essential: true, batch: None, notifications, reply });
    }
    let extended = ready.extend(request.expires_at, env.stamp(Actor::User)).any();
    let reply = sessions::reply(env, &extended.session).await?;
    let mut notifications = vec![Message::SetDeadline { session: id }];
    if shorter {
        notifications.push(Message::NotifySession { session: id });
    }
    Ok(Plan {
        session: id,
        essential: shorter,
        batch: Some(Batch::default().transition(env, &extended, read)),
        notifications,
        reply,
    })
}

impl ExtendRequest {
    /// Reads the body. The new deadline is given from now on or as a point in time.
    pub(super) fn read(fields: &mut Fields<'_>, now: Timestamp, max_ttl: Duration) -> Option<Self> {
        // A null counts as absent, so that the required field must have a value of its type.
        let one_of =
            |name: &str, kind| json!({"required": [name], "properties": {name: {"type": kind}}});
        fields.constrain(
            || json!({"oneOf": [one_of("ttlSecondsFromNow", "integer"), one_of("expiresAt", "string")]}),
        );
        if fields.has("ttlSecondsFromNow") == fields.has("expiresAt") {
            let detail = "must have exactly one of ttlSecondsFromNow and expiresAt";
            fields.report(FieldError::new(detail));
        }
        let seconds = integer(1..=max_ttl.as_secs()).describe(LIMIT);
        let seconds = fields.optional("ttlSecondsFromNow", seconds).map(Duration::from_secs);
        let expires_at = fields.optional("expiresAt", deadline(now, max_ttl));
        let allow_shorten = fields.with_default("allowShorten", boolean(), false);
        let expires_at = seconds.map(|seconds| now + seconds).or(expires_at)?;
        Some(Self { expires_at, allow_shorten })
    }
}

/// A point in time after now, by at most this long.
fn deadline(
    now: Timestamp,
    max_ttl: Duration,
) -> Rule<impl Fn(Value) -> Result<Timestamp, FieldError>> {
    let read = move |value| {
        let at = timestamp(value)?;
        let latest = now + max_ttl;
        if now < at && at <= latest {
            return Ok(at);
        }
        let seconds = max_ttl.as_secs();
        let detail = format!("must be in the future by at most {seconds} seconds: until {latest}");
        Err(FieldError::new(detail))
    };
    Rule::new(read, || component("Time")).describe(&format!(
        "In the future, by at most the deployment's longest lifetime: {} seconds or less.",
        max_ttl.as_secs()
    ))
}
