//! `GET /v1/sessions`, one session, and its jobs.

use super::{
    cursor::Cursor,
    extract::{Id, Params, User},
    jobs::first_serial,
    page::{List, PageQuery},
    problem::{Code, Problem},
    reply::Reply,
    rule::{Rule, component, one_of},
};
use crate::{Env, view};
use axum::extract::State;
use domain::{
    SessionId, UserId,
    ports::Versioned,
    session::{Ready, Session, Status},
};

/// Which sessions are wanted.
pub(super) struct SessionsQuery {
    status: Option<Status>,
    cursor: Cursor,
    page: PageQuery,
}

impl SessionsQuery {
    pub(super) fn read(params: &mut Params, user: &UserId) -> Self {
        let Rule { read, .. } = one_of(&Status::ALL);
        let status = params.optional("status", Rule::new(read, || component("SessionStatus")));
        let cursor = Cursor::new(format!("sessions {user} {}", status.map_or("", Status::name)));
        let page = PageQuery::read(params, &cursor);
        Self { status, cursor, page }
    }
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    params: Params,
) -> Result<Reply, Problem> {
    let SessionsQuery { status, cursor, page } =
        params.read(|params| SessionsQuery::read(params, &user))?;
    let read = env.store.sessions(&user, status, page.from.as_deref(), page.limit).await?;
    let waiting = waiting(&env, &user, &read.items).await?;
    let view = |session| view::session(&env, session, position(&waiting, session));
    Ok(Reply::ok(&List::of(&read, &cursor, view)))
}

pub(super) async fn get(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Reply, Problem> {
    params.read_none()?;
    let session = owned(&env, &user, id).await?.value;
    reply(&env, &session).await
}

/// 200 with the session.
pub(super) async fn reply(env: &Env, session: &Session) -> Result<Reply, Problem> {
    let waiting = waiting(env, session.user(), std::slice::from_ref(session)).await?;
    Ok(Reply::ok(&view::session(env, session, position(&waiting, session))))
}

pub(super) async fn jobs(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Reply, Problem> {
    let cursor = Cursor::new(format!("jobs {id}"));
    let page = params.read(|params| PageQuery::read(params, &cursor))?;
    owned(&env, &user, id).await?;
    let read = env.store.jobs(id, page.from.as_deref(), page.limit).await?;
    let first = first_serial(&env, id, &read.items).await?;
    Ok(Reply::ok(&List::of(&read, &cursor, |job| view::job(job).waiting_for(job, first))))
}

/// The caller's session. To the caller, another user's session does not exist.
pub(super) async fn owned(
    env: &Env,
    user: &UserId,
    id: SessionId,
) -> Result<Versioned<Session>, Problem> {
    let read = env.store.session(id).await?.filter(|read| read.value.user() == user);
    read.ok_or_else(|| Problem::not_found("session", id))
}

/// The session, which must be ready.
pub(super) fn ready(session: Session) -> Result<Ready, Problem> {
    match session {
        Session::Ready(ready) => Ok(ready),
        session @ (Session::Stopping(_) | Session::Ended(_)) => Err(ended(&session)),
        session @ (Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)) => Err(not_ready(&session)),
    }
}

/// The refusal of a request for a session that has ended or is ending.
pub(super) fn ended(session: &Session) -> Problem {
    let (status, reason) = (session.status().name(), session.reason().map_or("", |r| r.name()));
    let detail = format!("the session is {status} ({reason}); start another one");
    Problem::new(Code::SessionEnded, detail)
}

/// The failure of a request that reaches the shell of a session. A shell that ends a request without a reason
/// has mostly ended itself.
pub(super) async fn interrupted(env: &Env, id: SessionId) -> Problem {
    match env.store.session(id).await {
        Ok(Some(read)) if !matches!(read.value, Session::Ready(_)) => ended(&read.value),
        Ok(_) => Problem::new(Code::Unavailable, "the shell ended the request; try again"),
        Err(error) => error.into(),
    }
}

/// The refusal of a request for a session that is not ready yet.
pub(super) fn not_ready(session: &Session) -> Problem {
    let status = session.status().name();
    let detail =
        format!("the session is not ready yet: it is {status}; wait for the job of its start");
    Problem::new(Code::NotReady, detail)
}

/// The user's sessions that wait for a slot, in order; not read if none of `shown` waits.
async fn waiting(env: &Env, user: &UserId, shown: &[Session]) -> Result<Vec<SessionId>, Problem> {
    if !shown.iter().any(|session| matches!(session, Session::Waiting(_))) {
        return Ok(Vec::new());
    }
    let waiting = env.store.waiting(user).await?;
    Ok(waiting.into_iter().map(|read| read.value.id()).collect())
}

/// The session's place among those that wait, from 1.
fn position(waiting: &[SessionId], session: &Session) -> Option<u32> {
    let index = waiting.iter().position(|id| *id == session.id())?;
    u32::try_from(index + 1).ok()
}
