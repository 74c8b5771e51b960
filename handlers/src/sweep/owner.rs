//! The session for which a task runs: none, so that the task is an orphan, or one that may have a command for which
//! no worker was called.

use std::time::Duration;

use domain::{SessionId, message::Message, session::Session, task::TaskFacts};

use crate::{Env, HandlerError, notification, observe_task, run_job};

/// Observes a task whose session is over or that belongs to no session, so that an orphan is stopped. The tasks of live
/// sessions are checked when their sessions are due.
///
/// Where the store lists no due jobs, also calls a worker for a ready session with a job that may run now. A claimed
/// warm task is observed instead, which also calls a worker.
pub(super) async fn check(env: &Env, facts: &TaskFacts) -> Result<(), HandlerError> {
    if let Ok(id) = facts.started_by.parse::<SessionId>()
        && let Some((session, may_have_due_jobs)) = read(env, id).await?
        && !matches!(session, Session::Ended(_))
    {
        if may_have_due_jobs
            && matches!(session, Session::Ready(_))
            && run_job::has_runnable_job(env, id).await?
        {
            notification::send(env, Message::RunJob { session: id }, Duration::ZERO).await;
        }
        return Ok(());
    }
    observe_task::observe(env, facts).await
}

/// The session, and whether it has unfinished commands that are not listed when they are due.
async fn read(env: &Env, id: SessionId) -> Result<Option<(Session, bool)>, HandlerError> {
    if env.store.lists_due_jobs() {
        return Ok(env.store.session(id).await?.map(|read| (read.value, false)));
    }
    let read = env.store.session_with_open_jobs(id).await?;
    Ok(read.map(|(session, has_open)| (session.value, has_open)))
}
