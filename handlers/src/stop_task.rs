//! Stops the session's task, and waits until it has stopped and the session is closed.
//!
//! Safe to repeat: stopping a stopped task succeeds. A task that was requested but never reported is
//! searched for by the session that it was started for. The stop of a task does not depend on the
//! session's record: if that cannot be read or written, all tasks of the session are stopped.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    SessionId, TaskId,
    ports::{StopError, Versioned},
    session::{Event, Placement, Reason, Session, Stopping, Waits},
    timeline::Actor,
};

use crate::{
    Code, Env, HandlerError,
    transition::{self, RetryOnConflict},
    waiter::{self, Wait, WaitInput},
};

const WAIT: Wait = Wait {
    waits: Waits::Stopped,
    timeout: Duration::from_mins(5),
    // The event of the task may be lost; then the sweep asks the provider for the task.
    recheck_after: Duration::from_secs(15),
};

pub(crate) async fn handle(env: &Env, input: WaitInput) -> Result<(), HandlerError> {
    stop(env, input.session_id, Actor::Workflow).await?;
    waiter::wait(env, input, WAIT).await
}

/// Stops a session in any state, and returns once the stop of its task was requested or it has none.
pub(crate) async fn stop(env: &Env, id: SessionId, actor: Actor) -> Result<Session, HandlerError> {
    let stopped = stop_recorded(env, id, actor).await;
    if stopped.as_ref().is_err_and(|error| error.code() == Code::Backend) {
        stop_unrecorded(env, id).await;
    }
    stopped
}

/// Stops the tasks of the session, whose record cannot be written: those that were started for it, and the warm one
/// that it claimed, if the record can be read. The caller's error has the call repeated, and then the record catches
/// up.
async fn stop_unrecorded(env: &Env, id: SessionId) {
    let mut tasks = BTreeSet::new();
    match env.compute.list(Some(&id.to_string())).await {
        Ok(started) => tasks.extend(started.into_iter().map(|facts| facts.task)),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(session.id = %id, error, "failed to search for the tasks of a session");
        }
    }
    if let Ok(Some(read)) = env.store.session(id).await {
        tasks.extend(read.value.task().cloned());
    }
    for task in tasks {
        match env.compute.stop(&task, Reason::Internal.name()).await {
            Ok(()) | Err(StopError::Unknown) => {
                tracing::warn!(
                    session.id = %id,
                    task.id = %task,
                    "stopped a task whose session's record could not be written"
                );
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(session.id = %id, task.id = %task, error, "failed to stop a task; the call is repeated");
            }
        }
    }
}

async fn stop_recorded(env: &Env, id: SessionId, actor: Actor) -> Result<Session, HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = retry.next().await?;
        match value {
            Session::Stopping(stopping) => match stopping.placement() {
                Placement::Placed(task) => {
                    let event = request_stop(env, task, &stopping).await?;
                    return Ok(transition::apply(env, id, actor, &[event]).await?.into_session());
                }
                Placement::Asked => match find_task(env, id).await? {
                    Some(task) => {
                        transition::apply(env, id, actor, &[Event::Placed(task)]).await?;
                    }
                    None => {
                        let none = stopping.no_task(env.stamp(actor));
                        transition::put(env, none.into(), version).await?;
                    }
                },
                Placement::None | Placement::Gone(..) => return Ok(stopping.into()),
            },
            ended @ Session::Ended(_) => return Ok(ended),
            live @ (Session::Waiting(_)
            | Session::Queued(_)
            | Session::Provisioning(_)
            | Session::Starting(_)
            | Session::Ready(_)) => {
                let reason = live.overdue(env.now()).unwrap_or(Reason::Internal);
                let stop = Event::Stop { reason, note: None };
                transition::apply(env, id, actor, &[stop]).await?;
            }
        }
    }
}

async fn request_stop(
    env: &Env,
    task: &TaskId,
    stopping: &Stopping,
) -> Result<Event, HandlerError> {
    match env.compute.stop(task, stopping.stop().reason.name()).await {
        Ok(()) => Ok(Event::StopSent),
        Err(StopError::Unknown) => Ok(Event::TaskStopped(None)),
        Err(error @ (StopError::Throttled | StopError::Backend(_))) => Err(error.into()),
    }
}

async fn find_task(env: &Env, id: SessionId) -> Result<Option<TaskId>, HandlerError> {
    let tasks = env.compute.list(Some(&id.to_string())).await?;
    Ok(tasks.into_iter().next().map(|facts| facts.task))
}

#[cfg(test)]
mod tests;
