//! Makes a data channel to the terminal of a running job, and writes to the job's record how a client
//! opens it.
//!
//! A repeated call makes another channel, whose permission replaces the one before in the record. Earlier
//! ones that were not used stay valid until their time is over. A job that is over gets none.

use domain::{
    JobId, SessionId, UserId,
    job::{Job, Running, TerminalAccess},
    ports::{BackendError, Expect, ShellError, Write},
    session::{Event, Session, TerminalEvent},
    timeline::Actor,
};

use crate::{Env, HandlerError, outbox::Batch};

pub(crate) async fn handle(env: &Env, id: JobId) -> Result<(), HandlerError> {
    let Some(read) = env.store.job(id).await? else { return Ok(()) };
    let Job::Running(job) = &read.value else { return Ok(()) };
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else { return Ok(()) };
    match env.shell.open_terminal(ready.task(), id).await {
        Ok(access) => record(env, id, access).await,
        Err(ShellError::Gone) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn record(env: &Env, id: JobId, access: TerminalAccess) -> Result<(), HandlerError> {
    change(env, id, |job| {
        let event = (!job.was_opened()).then_some((TerminalEvent::Opened, Actor::Worker));
        (job.grant_access(access.clone()), event)
    })
    .await
    .map(drop)
}

/// Records that a client has opened a terminal over this channel, and removes the permission from the job's
/// record. Returns the owner of the job, or `None` if the job is over.
///
/// # Errors
/// The record can't be read or written. The permission can't be used again all the same.
pub async fn terminal_attached(
    env: &Env,
    id: JobId,
    channel: &str,
) -> Result<Option<UserId>, HandlerError> {
    let event = Some((TerminalEvent::Attached, Actor::User));
    change(env, id, |job| (job.remove_access(channel), event)).await
}

/// Records that a client of a terminal has gone.
///
/// # Errors
/// The record can't be read or written.
pub async fn terminal_detached(env: &Env, id: JobId) -> Result<(), HandlerError> {
    loop {
        let Some(read) = env.store.job(id).await? else { return Ok(()) };
        let Job::Running(job) = &read.value else { return Ok(()) };
        let (session, event) = (job.common().session, TerminalEvent::Detached);
        // After each conflict another client of the session has recorded its event.
        let batch = add_event(env, Batch::default(), session, event, id, Actor::User).await?;
        if batch.put(env).await? {
            return Ok(());
        }
    }
}

/// Changes a running job, and adds an event of its terminal to the session's timeline. Does nothing if the
/// job is over. Returns the owner of a job that is not over.
async fn change(
    env: &Env,
    id: JobId,
    change: impl Fn(Running) -> (Running, Option<(TerminalEvent, Actor)>),
) -> Result<Option<UserId>, HandlerError> {
    loop {
        let Some(read) = env.store.job(id).await? else { return Ok(None) };
        let Job::Running(job) = read.value else { return Ok(None) };
        let (session, user) = (job.common().session, job.common().user.clone());
        let (job, event) = change(job);
        let mut batch =
            Batch::default().write(Write::Job(Box::new(job.into()), Expect::At(read.version)));
        if let Some((event, actor)) = event {
            batch = add_event(env, batch, session, event, id, actor).await?;
        }
        if batch.put(env).await? {
            return Ok(Some(user));
        }
    }
}

/// Adds an event of the terminal of a job to the timeline of its session, unless the session ends: that says
/// enough.
pub(crate) async fn add_event(
    env: &Env,
    batch: Batch,
    session: SessionId,
    event: TerminalEvent,
    job: JobId,
    actor: Actor,
) -> Result<Batch, BackendError> {
    let Some(read) = env.store.session(session).await? else { return Ok(batch) };
    Ok(match read.value.on(Event::Terminal(event, job), env.stamp(actor)) {
        Ok(transition) => batch.transition(env, &transition, Expect::At(read.version)),
        Err(_) => batch,
    })
}

#[cfg(test)]
mod tests;
