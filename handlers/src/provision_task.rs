//! Gets the session a task: a warm one if there is one, else a new one.
//!
//! Safe to repeat: a claim is one transaction with the session's record, and a request carries a
//! token that is on record before it is sent. A new token is used only after a definite refusal.

use std::time::Duration;

use domain::{
    TaskId,
    message::Message,
    ports::{Expect, RunError, RunTask, Version, Versioned, Write},
    session::{Event, Provisioning, Queued, Reason, Session},
    task::TaskStatus,
    timeline::Actor,
    warm::{Available, Warm},
};

use crate::{
    Code, Env, HandlerError, fill_pool,
    next::Next,
    notification,
    outbox::Batch,
    step::SessionInput,
    transition::{self, Applied, RetryOnConflict},
};

pub(crate) async fn handle(env: &Env, input: SessionInput) -> Result<Next, HandlerError> {
    let id = input.session_id;
    let mut rounds = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = rounds.next().await?;
        if let Some(reason) = value.overdue(env.now()) {
            let stop = Event::Stop { reason, note: None };
            transition::apply(env, id, Actor::Workflow, &[stop]).await?;
            continue;
        }
        match value {
            Session::Queued(session) => {
                // Either way the record is read anew: what was written decides.
                if !claim(env, &session, version).await? {
                    intend(env, session, version).await?;
                }
            }
            Session::Provisioning(session) => {
                let session = place(env, session).await?;
                return Ok(Next::of(&session, env.now()));
            }
            session @ (Session::Starting(_) | Session::Ready(_)) => {
                return Ok(Next::of(&session, env.now()));
            }
            Session::Stopping(_) | Session::Ended(_) => return Err(stop_requested()),
            Session::Waiting(_) => {
                return Err(HandlerError::new(Code::BadInput, "the session has no slot yet"));
            }
        }
    }
}

/// Claims a warm task for the session, in one transaction with it. The task has answered before, so
/// the session is ready at once.
async fn claim(env: &Env, session: &Queued, read: Version) -> Result<bool, HandlerError> {
    let common = Session::from(session.clone());
    let kind = common.common().spec.warm_kind();
    if !env.policy.warm.iter().any(|(kept, wanted)| *kept == kind && *wanted > 0) {
        return Ok(false);
    }
    for candidate in env.store.warm_of(&kind).await? {
        let id = candidate.value.id();
        let Warm::Available(warm) = candidate.value else { continue };
        if !runs(env, warm.task()).await? {
            fill_pool::retire(env, id).await?;
            continue;
        }
        // Otherwise another session took it, or this session changed; the next round tells.
        if let Some(session) = take(env, session, read, warm, candidate.version).await? {
            notification::send(env, Message::FillPool, Duration::ZERO).await;
            transition::start_jobs(env, &session).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The event of a warm task's end may be late or lost.
async fn runs(env: &Env, task: &TaskId) -> Result<bool, HandlerError> {
    let facts = env.compute.describe(std::slice::from_ref(task)).await?;
    Ok(facts.iter().any(|facts| facts.status == TaskStatus::Running && !facts.ending))
}

async fn take(
    env: &Env,
    session: &Queued,
    read: Version,
    warm: Available,
    warm_read: Version,
) -> Result<Option<Session>, HandlerError> {
    let stamp = env.stamp(Actor::Workflow);
    let task = warm.task().clone();
    let id = Session::from(session.clone()).id();
    let moved = session.clone().claim(task, stamp).then(|starting| starting.ready(stamp)).any();
    let claimed = Write::Warm(Box::new(warm.claim(id).into()), Expect::At(warm_read));
    let batch = Batch::default().write(claimed).moved(env, &moved, Expect::At(read));
    let taken = transition::with_ready(env, batch, &moved).await?.put(env).await?;
    Ok(taken.then_some(moved.session))
}

/// Puts on record that a task is about to be asked for.
async fn intend(env: &Env, session: Queued, read: Version) -> Result<(), HandlerError> {
    let moved = session.provision(env.stamp(Actor::Workflow)).any();
    transition::write(env, &moved, read).await?;
    Ok(())
}

/// Asks for a task and records what came of it.
async fn place(env: &Env, session: Provisioning) -> Result<Session, HandlerError> {
    let request = request(&session);
    let id = Session::from(session).id();
    match env.compute.run(&request).await {
        Ok(task) => placed(env, id, task).await,
        Err(RunError::Capacity(cause)) => {
            tracing::warn!(session.id = %id, "there was no capacity for a task");
            transition::apply(env, id, Actor::Workflow, &[Event::Refused(cause.clone())]).await?;
            Err(RunError::Capacity(cause).into())
        }
        Err(RunError::Refused(cause)) => {
            let stop = Event::Stop { reason: Reason::Internal, note: Some(cause) };
            transition::apply(env, id, Actor::Workflow, &[stop]).await?;
            Err(stop_requested())
        }
        Err(error @ (RunError::Throttled | RunError::Backend(_))) => Err(error.into()),
    }
}

async fn placed(env: &Env, id: domain::SessionId, task: TaskId) -> Result<Session, HandlerError> {
    let event = Event::Placed(task.clone());
    match transition::apply(env, id, Actor::Workflow, &[event]).await? {
        Applied::Changed(session @ Session::Starting(_)) => Ok(session),
        Applied::Changed(_) => Err(stop_requested()),
        // The task's own event was faster.
        Applied::Unchanged(session) if session.task() == Some(&task) => Ok(session),
        Applied::Unchanged(_) => {
            env.compute.stop(&task, "its session is over").await?;
            Err(stop_requested())
        }
    }
}

fn request(session: &Provisioning) -> RunTask {
    let client_token = session.client_token();
    let session = Session::from(session.clone());
    let spec = &session.common().spec;
    RunTask {
        started_by: session.id().to_string(),
        client_token,
        image: spec.image.clone(),
        size: spec.size,
        network: spec.network,
        spot: spec.spot,
    }
}

fn stop_requested() -> HandlerError {
    HandlerError::new(Code::StopRequested, "the session is to end")
}

#[cfg(test)]
mod tests;
