//! Gets the session a task: a warm one if there is one, else a new one.
//!
//! Safe to repeat: a claim is one transaction with the session's record, and a request carries a
//! token that is on record before it is sent. A new token is used only after a definite refusal.

use std::time::Duration;

use domain::{
    SessionId, TaskId,
    message::Message,
    ports::{Expect, RunError, RunTask, Version, Versioned, Write},
    session::{Event, Provisioning, Queued, Reason, Session},
    task::TaskStatus,
    timeline::Actor,
    warm::{Available, Warm},
};

use crate::{
    Code, Env, HandlerError,
    next::Next,
    notification,
    outbox::Batch,
    reconcile,
    step::SessionInput,
    transition::{self, Applied, RetryOnConflict},
    warm_task,
};

pub(crate) async fn handle(env: &Env, input: SessionInput) -> Result<Next, HandlerError> {
    let id = input.session_id;
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = retry.next().await?;
        if let Some(reason) = value.overdue(env.now()) {
            let stop = Event::Stop { reason, note: None };
            transition::apply(env, id, Actor::Workflow, &[stop]).await?;
            continue;
        }
        match value {
            Session::Queued(session) => {
                // The session is read again either way: what was written decides.
                if !claim(env, &session, version).await? {
                    intend(env, session, version).await?;
                }
            }
            Session::Provisioning(session) => {
                let session = request_task(env, session).await?;
                return Ok(Next::of(&session, env.now()));
            }
            session @ (Session::Starting(_) | Session::Ready(_)) => {
                return Ok(Next::of(&session, env.now()));
            }
            Session::Stopping(_) | Session::Ended(_) => return Err(stop_requested(id)),
            Session::Waiting(_) => {
                let message = format!("session {id} has no slot yet");
                return Err(HandlerError::new(Code::BadInput, message));
            }
        }
    }
}

/// Claims a warm task for the session, in one transaction with the session's record. The runner of a
/// warm task has answered before, so the session is ready at once. Returns false if there is none.
async fn claim(env: &Env, session: &Queued, read: Version) -> Result<bool, HandlerError> {
    let kind = Session::from(session.clone()).common().spec.warm_kind();
    if !Session::from(session.clone()).files().is_empty() {
        // A session with a warm task is ready at once, and its files must be there before.
        return Ok(false);
    }
    if !env.policy.warm.iter().any(|(kept, wanted)| *kept == kind && *wanted > 0) {
        return Ok(false);
    }
    for candidate in env.store.warm_of(&kind).await? {
        let id = candidate.value.id();
        let Warm::Available(warm) = candidate.value else { continue };
        if !is_running(env, warm.task()).await? {
            warm_task::retire(env, id).await?;
            continue;
        }
        // A failed claim means that another session took the task, or that this session changed:
        // then the next attempt fails too, and the session is read again.
        if let Some(session) = commit_claim(env, session, read, warm, candidate.version).await? {
            notification::send(env, Message::FillPool, Duration::ZERO).await;
            // Until now the task had that of a warm task.
            let deadline = Message::SetDeadline { session: session.id() };
            notification::send(env, deadline, Duration::ZERO).await;
            reconcile::start_jobs(env, &session).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the provider says that the task runs: the event of its end may be late or lost.
async fn is_running(env: &Env, task: &TaskId) -> Result<bool, HandlerError> {
    let facts = env.compute.describe(std::slice::from_ref(task)).await?;
    Ok(facts.iter().any(|facts| facts.status == TaskStatus::Running && !facts.ending))
}

/// The session with its claimed task, or `None` if one of the two records has changed.
async fn commit_claim(
    env: &Env,
    session: &Queued,
    read: Version,
    warm: Available,
    warm_read: Version,
) -> Result<Option<Session>, HandlerError> {
    let stamp = env.stamp(Actor::Workflow);
    let task = warm.task().clone();
    let id = Session::from(session.clone()).id();
    let transition =
        session.clone().claim(task, stamp).then(|starting| starting.ready(stamp)).any();
    let claimed = Write::Warm(Box::new(warm.claim(id).into()), Expect::At(warm_read));
    let batch = Batch::default().write(claimed).transition(env, &transition, Expect::At(read));
    let is_claimed = transition::complete_start(env, batch, &transition).await?.put(env).await?;
    Ok(is_claimed.then_some(transition.session))
}

/// Puts on record that a task is about to be requested.
async fn intend(env: &Env, session: Queued, read: Version) -> Result<(), HandlerError> {
    let transition = session.provision(env.stamp(Actor::Workflow)).any();
    transition::write(env, &transition, read).await?;
    Ok(())
}

/// Requests a task and records the result.
async fn request_task(env: &Env, session: Provisioning) -> Result<Session, HandlerError> {
    let request = request(&session);
    let id = Session::from(session).id();
    match env.compute.run(&request).await {
        Ok(task) => record_task(env, id, task).await,
        Err(RunError::Capacity(cause)) => {
            tracing::warn!(
                session.id = %id,
                cause,
                "the provider has no capacity for a task; the state machine will retry"
            );
            transition::apply(env, id, Actor::Workflow, &[Event::Refused(cause.clone())]).await?;
            Err(RunError::Capacity(cause).into())
        }
        Err(RunError::Refused(cause)) => {
            let stop = Event::Stop { reason: Reason::Internal, note: Some(cause) };
            transition::apply(env, id, Actor::Workflow, &[stop]).await?;
            Err(stop_requested(id))
        }
        Err(error @ (RunError::Throttled | RunError::Backend(_))) => Err(error.into()),
    }
}

async fn record_task(env: &Env, id: SessionId, task: TaskId) -> Result<Session, HandlerError> {
    let event = Event::Placed(task.clone());
    match transition::apply(env, id, Actor::Workflow, &[event]).await? {
        Applied::Changed(session @ Session::Starting(_)) => Ok(session),
        Applied::Changed(_) => Err(stop_requested(id)),
        // The task's own event was recorded before.
        Applied::Unchanged(session) if session.task() == Some(&task) => Ok(session),
        Applied::Unchanged(_) => {
            env.compute.stop(&task, "its session is over").await?;
            Err(stop_requested(id))
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
        lifetime: spec.ttl,
    }
}

fn stop_requested(id: SessionId) -> HandlerError {
    HandlerError::new(Code::StopRequested, format!("session {id} is to end"))
}

#[cfg(test)]
mod tests;
