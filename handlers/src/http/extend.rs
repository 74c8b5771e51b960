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

use super::{
    extract::Id,
    fields::{self, Fields, Wrong, flag, parsed, whole},
    post::{Plan, Post},
    problem::Problem,
    sessions,
};
use crate::{Env, outbox::Batch};

/// What the caller wants.
struct Wish {
    expires_at: Timestamp,
    allow_shorten: bool,
}

pub(super) async fn handle(
    State(env): State<Env>,
    Id(id): Id<SessionId>,
    post: Post,
) -> Result<Response, Problem> {
    let now = env.now();
    let wish = fields::object(post.body.expose(), |fields| read(fields, now, env.policy.max_ttl))?;
    let mut rounds = post.rounds(&env);
    loop {
        let read = sessions::owned(&env, &post.user, id).await?;
        let ready = ready(read.value)?;
        let plan = plan(&env, ready, Expect::At(read.version), &wish).await?;
        if let Some(response) = rounds.write(plan).await? {
            return Ok(response);
        }
    }
}

fn ready(session: Session) -> Result<Ready, Problem> {
    match session {
        Session::Ready(ready) => Ok(ready),
        session @ (Session::Stopping(_) | Session::Ended(_)) => Err(sessions::ended(&session)),
        session @ (Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)) => Err(sessions::not_ready(&session)),
    }
}

/// A deadline that would come nearer without leave stays as it is.
async fn plan(env: &Env, ready: Ready, read: Expect, wish: &Wish) -> Result<Plan, Problem> {
    let session = Session::Ready(ready.clone());
    let id = session.id();
    let old = session.common().expires_at;
    let shorter = wish.expires_at < old;
    if wish.expires_at == old || (shorter && !wish.allow_shorten) {
        let reply = sessions::shown(env, &session).await?;
        return Ok(Plan { batch: None, bells: Vec::new(), reply });
    }
    let moved = ready.extend(wish.expires_at, env.stamp(Actor::User)).any();
    let reply = sessions::shown(env, &moved.session).await?;
    let bells = if shorter { vec![Message::NotifySession { session: id }] } else { Vec::new() };
    Ok(Plan { batch: Some(Batch::default().transition(env, &moved, read)), bells, reply })
}

fn read(fields: &mut Fields<'_>, now: Timestamp, max_ttl: Duration) -> Option<Wish> {
    if fields.has("ttlSecondsFromNow") == fields.has("expiresAt") {
        fields.fault(Wrong::new("must have exactly one of ttlSecondsFromNow and expiresAt"));
    }
    let (longest, most) = (now + max_ttl, max_ttl.as_secs());
    let span = fields.optional("ttlSecondsFromNow", |value| {
        whole(1..=most)(value).map(|seconds| now + Duration::from_secs(seconds))
    });
    let point = fields.optional("expiresAt", |value| {
        let at: Timestamp = parsed("must be a time such as 2026-01-31T12:00:00.000Z")(value)?;
        let fits = now < at && at <= longest;
        fits.then_some(at).ok_or_else(|| {
            Wrong::new(format!("must lie ahead, by at most {most} seconds: until {longest}"))
        })
    });
    let allow_shorten = fields.optional("allowShorten", flag).unwrap_or_default();
    Some(Wish { expires_at: span.or(point)?, allow_shorten })
}
