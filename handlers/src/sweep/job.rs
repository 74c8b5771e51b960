//! A job that is due: it is started, taken over by another worker, or ended with its session.

use std::time::Duration;

use domain::{
    JobId, SessionId,
    job::{Job, Outcome},
    message::Message,
    ports::{Expect, Versioned, Write},
    session::Session,
};

use crate::{
    Env, HandlerError, close_session, notification,
    outbox::{Batch, finish_job},
};

/// When a queued job whose session is not ready is due again.
const RECHECK_AFTER: Duration = Duration::from_secs(30);

pub(super) async fn handle(env: &Env, id: JobId, session: SessionId) -> Result<(), HandlerError> {
    let Some(job) = env.store.job(id).await? else { return Ok(()) };
    let Some(session) = env.store.session(session).await? else { return Ok(()) };
    let session = session.value;
    if job.value.command().is_none() {
        return finish_without_command(env, job, &session).await;
    }
    match session {
        Session::Ended(_) => close_session::end_jobs(env, &session).await,
        Session::Ready(_) => {
            let message = Message::RunJob { session: session.id() };
            notification::send(env, message, Duration::ZERO).await;
            recheck_later(env, job).await
        }
        Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Stopping(_) => recheck_later(env, job).await,
    }
}

/// Finishes a start job whose session became ready, and any start or stop job whose session is over.
async fn finish_without_command(
    env: &Env,
    job: Versioned<Job>,
    session: &Session,
) -> Result<(), HandlerError> {
    let is_start = job.value.id() == session.start_job();
    let is_reached = is_start && session.ready_at().is_some();
    if !is_reached && !matches!(session, Session::Ended(_)) {
        return recheck_later(env, job).await;
    }
    let outcome = if is_start && session.ready_at().is_none() {
        close_session::not_run(session)
    } else {
        Outcome::Completed { exit: None, failure: None }
    };
    let batch = finish_job(env, Batch::default(), session, job.value.id(), outcome).await?;
    Ok(batch.commit(env).await?)
}

/// Sets when a queued job is due again. A running job stays due until a worker takes it over.
async fn recheck_later(env: &Env, read: Versioned<Job>) -> Result<(), HandlerError> {
    let Job::Queued(job) = read.value else { return Ok(()) };
    let later = job.recheck_at(env.now() + RECHECK_AFTER);
    let write = Write::Job(Box::new(later.into()), Expect::At(read.version));
    Batch::default().write(write).put(env).await?;
    Ok(())
}
