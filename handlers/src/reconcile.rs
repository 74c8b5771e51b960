//! Brings a session's record up to date, and notifies whatever waits for a change of it.
//!
//! Safe to repeat: every write is conditional on the version that was read, and a second
//! notification does no harm.

use std::time::Duration;

use domain::{
    SessionId,
    message::Message,
    session::{Event, Ready, Session, Step},
    timeline::Actor,
};

use crate::{
    Env, HandlerError, close_session, notification,
    transition::{self, RetryOnConflict},
};

/// The shortest time until a session with open jobs is checked for idleness again, however short
/// its idle timeout: the history of an execution is finite. The worker that finishes the last job
/// sets the next deadline.
const BUSY_RECHECK_AFTER: Duration = Duration::from_mins(1);

/// A session after it was reconciled.
pub(crate) struct Reconciled {
    pub(crate) session: Session,
    /// Whether an execution waited for the session and was resumed.
    pub(crate) is_resumed: bool,
}

/// Applies to the session what is due by now, then notifies its execution and its workers.
///
/// A session that never had a slot has no execution that could close it: it is closed here.
pub(crate) async fn reconcile(
    env: &Env,
    id: SessionId,
    actor: Actor,
) -> Result<Reconciled, HandlerError> {
    let mut session = refresh(env, id, actor).await?;
    if ended_without_slot(env, &session) {
        session = close_session::close(env, id, None, actor).await?;
    }
    let is_resumed = notify(env, &session).await?;
    Ok(Reconciled { session, is_resumed })
}

/// Applies to the session what is due by now: its deadlines, its idle timeout, the warning before
/// its end, and the end of a drain.
pub(crate) async fn refresh(
    env: &Env,
    id: SessionId,
    actor: Actor,
) -> Result<Session, HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let read = retry.next().await?;
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

/// Resumes the execution that waits for a change of the session, if that change is there, and starts
/// the jobs of a ready session. Closes a session whose task has stopped. Returns whether an execution was resumed.
pub(crate) async fn notify(env: &Env, session: &Session) -> Result<bool, HandlerError> {
    let is_resumed = notification::resume_execution(env, session).await?
        || close_session::close_stopped(env, session).await?;
    if matches!(session, Session::Ready(_)) {
        start_jobs(env, session).await?;
    }
    Ok(is_resumed)
}

/// Calls a worker for a session that has just become ready. A worker is also called for a draining
/// session without open jobs, because the worker ends it.
pub(crate) async fn start_jobs(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let id = session.id();
    if env.store.has_open_jobs(id).await? || session.common().drain.is_some() {
        notification::send(env, Message::RunJob { session: id }, Duration::ZERO).await;
    }
    Ok(())
}

fn ended_without_slot(env: &Env, session: &Session) -> bool {
    matches!(session, Session::Stopping(_))
        && !session.holds_slot()
        && session.next_step(env.now()) == Step::Finish
}

/// The session with a later idle deadline, if it has passed its idle deadline but has open jobs.
async fn still_active(env: &Env, ready: &Ready) -> Result<Option<Session>, HandlerError> {
    let now = env.now();
    let session = Session::from(ready.clone());
    let seems_idle = ready.idle_at().is_some_and(|at| now >= at);
    if !seems_idle || now >= session.common().expires_at {
        return Ok(None);
    }
    let is_busy = env.store.has_open_jobs(session.id()).await?;
    let idle_timeout = session.common().spec.idle_timeout.unwrap_or_default();
    let until = now + BUSY_RECHECK_AFTER.saturating_sub(idle_timeout);
    Ok(is_busy.then(|| ready.clone().active(until, now).into()))
}

async fn due_event(env: &Env, session: &Session) -> Result<Option<Event>, HandlerError> {
    let now = env.now();
    if let Some(reason) = session.overdue(now) {
        return Ok(Some(Event::Stop { reason, note: None }));
    }
    let Session::Ready(ready) = session else { return Ok(None) };
    if let Some(drain) = &session.common().drain
        && !env.store.has_open_jobs(session.id()).await?
    {
        return Ok(Some(Event::Stop { reason: drain.reason, note: drain.note.clone() }));
    }
    Ok(ready.warn_at().is_some_and(|at| now >= at).then_some(Event::Warn))
}
