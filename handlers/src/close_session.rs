//! Ends a session: its task, its jobs, its record with its slot; then admits the next waiting
//! session of the same user.
//!
//! Safe to repeat: each job ends by a conditional write of its own, and the record ends in one
//! transaction with the slot. The handler that records that the task has stopped calls this, so that the execution
//! ends with its wait; the state machine calls it for a session without a task, and after a failure.

use domain::{
    SessionId,
    ports::{Resume, Version, Versioned},
    session::{Event, Placement, Reason, Session, Step, Stopping, Transition, Waits},
    task::{TaskFacts, TaskStatus},
    timeline::Actor,
};
use serde::Deserialize;

use crate::{
    Code, Env, HandlerError,
    next::Next,
    notification,
    transition::{self, RetryOnConflict},
};

mod admission;
mod jobs;
mod record;

pub(crate) use admission::admit_next;
pub(crate) use jobs::{end_jobs, not_run};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    session_id: SessionId,
    /// The name of the error that made the execution end the session, if there was one.
    error: Option<String>,
}

pub(crate) async fn handle(env: &Env, input: Input) -> Result<Next, HandlerError> {
    let session = close(env, input.session_id, input.error.as_deref(), Actor::Workflow).await?;
    Ok(Next::of(&session, env.now()))
}

/// Closes the session, if its execution waits for that and its task has stopped; then resumes the execution. Returns
/// whether it was resumed. If this process dies before, the execution closes the session itself once its wait has
/// timed out.
pub(crate) async fn close_stopped(env: &Env, session: &Session) -> Result<bool, HandlerError> {
    let waiter = session.waiter().filter(|waiter| waiter.waits == Waits::Stopped);
    let Some(waiter) = waiter.filter(|_| session.next_step(env.now()) == Step::Finish) else {
        return Ok(false);
    };
    let closed = close(env, session.id(), None, Actor::Workflow).await?;
    let resumed = notification::answer_token(env, &waiter.token, waiter.waits, &closed).await?;
    Ok(resumed == Resume::Resumed)
}

/// Closes a session in any state. `error` decides the reason of a session that was neither stopped
/// nor overdue.
pub(crate) async fn close(
    env: &Env,
    id: SessionId,
    error: Option<&str>,
    actor: Actor,
) -> Result<Session, HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = retry.next().await?;
        match value {
            Session::Ended(_) => {
                end_jobs(env, &value).await?;
                admit_next(env, &value).await?;
                return Ok(value);
            }
            Session::Stopping(stopping) => {
                let session = Session::from(stopping.clone());
                stop_task_again(env, &stopping, id).await?;
                end_jobs(env, &session).await?;
                let stopping = Transition { session: stopping, entries: Vec::new() };
                if let Some(ended) = end(env, stopping, version, actor).await? {
                    return Ok(ended);
                }
            }
            live @ (Session::Waiting(_)
            | Session::Queued(_)
            | Session::Provisioning(_)
            | Session::Starting(_)
            | Session::Ready(_)) => {
                let reason = live.overdue(env.now()).unwrap_or_else(|| reason_of(error));
                let stop = Event::Stop { reason, note: None };
                transition::apply(env, id, actor, &[stop]).await?;
            }
        }
    }
}

/// Closes a session whose execution waits for the stop of its task, which has just stopped: both are one transaction,
/// so that the record is written once. Then resumes the execution, as [`close_stopped`] does. Returns false, and
/// changes no session, if its execution waits for something else, the task is not the session's, or the record has
/// changed.
pub(crate) async fn close_with_task(
    env: &Env,
    Versioned { value, version }: &Versioned<Session>,
    facts: &TaskFacts,
    actor: Actor,
) -> Result<bool, HandlerError> {
    let waiter = value.waiter().filter(|waiter| waiter.waits == Waits::Stopped);
    let (Some(waiter), Session::Stopping(stopping)) = (waiter, value) else { return Ok(false) };
    let is_placed = matches!(stopping.placement(), Placement::Placed(task) if *task == facts.task);
    if facts.status != TaskStatus::Stopped || !is_placed {
        return Ok(false);
    }
    let stopped = stopping.clone().task_stopped(facts.stop.clone(), env.stamp(actor));
    end_jobs(env, &stopped.session.clone().into()).await?;
    let Some(ended) = end(env, stopped, *version, actor).await? else { return Ok(false) };
    notification::answer_token(env, &waiter.token, waiter.waits, &ended).await?;
    Ok(true)
}

/// Ends the record of a session whose jobs have ended. Returns `None` if it has changed.
async fn end(
    env: &Env,
    stopping: Transition<Stopping>,
    read: Version,
    actor: Actor,
) -> Result<Option<Session>, HandlerError> {
    let Some(ended) = record::end(env, stopping, read, actor).await? else { return Ok(None) };
    if let Some(task) = ended.task() {
        env.compute.forget(task).await;
    }
    admit_next(env, &ended).await?;
    Ok(Some(ended))
}

/// Stops the task once more, in case it still exists. If that fails too, the sweep stops every task
/// of an ended session.
async fn stop_task_again(
    env: &Env,
    stopping: &Stopping,
    id: SessionId,
) -> Result<(), HandlerError> {
    let tasks = match stopping.placement() {
        Placement::Placed(task) => vec![task.clone()],
        Placement::Asked => {
            let tasks = env.compute.list(Some(&id.to_string())).await?;
            tasks.into_iter().map(|facts| facts.task).collect()
        }
        Placement::None | Placement::Gone(..) => Vec::new(),
    };
    for task in tasks {
        if let Err(error) = env.compute.stop(&task, stopping.stop().reason.name()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                session.id = %id,
                task.id = %task,
                error,
                "failed to stop the task of an ending session; the sweep will retry"
            );
        }
    }
    Ok(())
}

fn reason_of(error: Option<&str>) -> Reason {
    // A rate limit that refuses a start until its tries are used up is a lack of capacity too.
    let capacity = [
        Code::CapacityUnavailable.name(),
        Code::Throttled.name(),
        "Lambda.TooManyRequestsException",
    ];
    if error.is_some_and(|error| capacity.contains(&error)) {
        Reason::CapacityUnavailable
    } else {
        Reason::Internal
    }
}
