//! `GET /v1/sessions`, one session, and its jobs.

use axum::extract::State;
use domain::{
    SessionId, UserId,
    ports::{Page, Versioned},
    session::{Session, Status},
};
use serde::Serialize;

use super::{
    cursor::Cursor,
    extract::{Id, Params, User, limit},
    problem::{Code, Problem},
    reply::Reply,
};
use crate::{Env, view};

/// The most entries of a list.
pub(super) const MOST: u32 = 100;

/// A part of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    /// Where the next part begins; `null` at the end.
    pub(super) next_cursor: Option<String>,
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    mut params: Params,
) -> Result<Reply, Problem> {
    let status = params.take("status", |text| {
        let found = Status::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| "must be the status of a session".into())
    });
    let limit = limit(&mut params, MOST);
    let cursor = Cursor::new(format!("sessions {user} {}", status.map_or("", Status::name)));
    let from = params.take("cursor", |text| cursor.read(text));
    params.finish()?;
    let Page { items, next } = env.store.sessions(&user, status, from.as_deref(), limit).await?;
    let line = line(&env, &user, &items).await?;
    let data = items.iter().map(|session| view::session(&env, session, place(&line, session.id())));
    Ok(Reply::ok(&List { data: data.collect(), next_cursor: next.map(|next| cursor.write(&next)) }))
}

pub(super) async fn get(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Reply, Problem> {
    params.finish()?;
    let session = owned(&env, &user, id).await?.value;
    shown(&env, &session).await
}

/// 200 with the session.
pub(super) async fn shown(env: &Env, session: &Session) -> Result<Reply, Problem> {
    let line = line(env, session.user(), std::slice::from_ref(session)).await?;
    Ok(Reply::ok(&view::session(env, session, place(&line, session.id()))))
}

pub(super) async fn jobs(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    mut params: Params,
) -> Result<Reply, Problem> {
    let limit = limit(&mut params, MOST);
    let cursor = Cursor::new(format!("jobs {id}"));
    let from = params.take("cursor", |text| cursor.read(text));
    params.finish()?;
    owned(&env, &user, id).await?;
    let Page { items, next } = env.store.jobs(id, from.as_deref(), limit).await?;
    let data = items.iter().map(view::job).collect();
    Ok(Reply::ok(&List { data, next_cursor: next.map(|next| cursor.write(&next)) }))
}

/// The caller's session. One that belongs to somebody else does not exist.
pub(super) async fn owned(
    env: &Env,
    user: &UserId,
    id: SessionId,
) -> Result<Versioned<Session>, Problem> {
    let read = env.store.session(id).await?.filter(|read| read.value.user() == user);
    read.ok_or_else(|| Problem::not_found("session"))
}

/// The session is over, or nearly.
pub(super) fn ended(session: &Session) -> Problem {
    let (status, reason) = (session.status().name(), session.reason().map_or("", |r| r.name()));
    Problem::new(Code::SessionEnded, format!("the session is {status} ({reason})"))
}

/// The session is not ready yet.
pub(super) fn not_ready(session: &Session) -> Problem {
    let status = session.status().name();
    Problem::new(Code::NotReady, format!("the session is not ready yet: it is {status}"))
}

/// The user's sessions that wait for a slot, in order, if one of these does.
async fn line(env: &Env, user: &UserId, of: &[Session]) -> Result<Vec<SessionId>, Problem> {
    if !of.iter().any(|session| matches!(session, Session::Waiting(_))) {
        return Ok(Vec::new());
    }
    let waiting = env.store.waiting(user).await?;
    Ok(waiting.into_iter().map(|read| read.value.id()).collect())
}

fn place(line: &[SessionId], id: SessionId) -> Option<u32> {
    let index = line.iter().position(|waiting| *waiting == id)?;
    u32::try_from(index + 1).ok()
}
