//! Looks at a session afresh: what the clock says, and what to do next. Safe to repeat: what it
//! writes are conditional facts.

use std::time::Duration;

use domain::{
    SessionId,
    session::{Event, Ready, Session},
    timeline::Actor,
};

use crate::{
    Env, HandlerError,
    next::Next,
    step::SessionInput,
    transition::{self, RetryOnConflict},
};

/// When a session that has work in hand is looked at again at the earliest, however short its idle
/// timeout: the history of an execution is finite. The worker that finds it idle sets the time anew.
const BUSY_LOOK: Duration = Duration::from_mins(1);

pub(crate) async fn handle(env: &Env, input: SessionInput) -> Result<Next, HandlerError> {
    let session = refresh(env, input.session_id, Actor::Workflow).await?;
    Ok(Next::of(&session, env.now()))
}

/// Brings the record up to the time: deadlines, idleness, warnings, the end of a drain.
pub(crate) async fn refresh(
    env: &Env,
    id: SessionId,
    actor: Actor,
) -> Result<Session, HandlerError> {
    let mut rounds = RetryOnConflict::of(env, id);
    loop {
        let read = rounds.next().await?;
        if let Session::Ready(ready) = &read.value
            && let Some(active) = still_active(env, ready).await?
        {
            transition::put(env, active, read.version).await?;
            continue;
        }
        let Some(event) = due_event(env, &read.value).await? else { return Ok(read.value) };
        transition::apply(env, id, actor, &[event]).await?;
    }
}

/// A session that seems idle but has work in hand is not.
async fn still_active(env: &Env, ready: &Ready) -> Result<Option<Session>, HandlerError> {
    let now = env.now();
    let session = Session::from(ready.clone());
    let seems_idle = ready.idle_at().is_some_and(|at| now >= at);
    if !seems_idle || now >= session.common().expires_at {
        return Ok(None);
    }
    let busy = transition::has_open_jobs(env, session.id()).await?;
    let idle_timeout = session.common().spec.idle_timeout.unwrap_or_default();
    let until = now + BUSY_LOOK.saturating_sub(idle_timeout);
    Ok(busy.then(|| ready.clone().active(until, now).into()))
}

async fn due_event(env: &Env, session: &Session) -> Result<Option<Event>, HandlerError> {
    let now = env.now();
    if let Some(reason) = session.overdue(now) {
        return Ok(Some(Event::Stop { reason, note: None }));
    }
    let Session::Ready(ready) = session else { return Ok(None) };
    if let Some(drain) = &session.common().drain
        && !transition::has_open_jobs(env, session.id()).await?
    {
        return Ok(Some(Event::Stop { reason: drain.reason, note: drain.note.clone() }));
    }
    Ok(ready.warn_at().is_some_and(|at| now >= at).then_some(Event::Warn))
}

#[cfg(test)]
mod tests;
