//! A session that is due: what its own execution should have done, or would do next.

use std::time::Duration;

use domain::{
    SessionId, TaskId,
    ports::Resume,
    session::{Event, Session, Step},
    task::TaskStatus,
    timeline::Actor,
};

use super::recheck_later;
use crate::{
    Env, HandlerError, close_session, inspect_session, notification, observe_task, stop_task,
    transition,
};

/// How soon a session that is on its way is looked at again.
const SOON: Duration = Duration::from_secs(15);
/// A provider may take this long to know a task that it has just given: its answers may lag.
const KNOWN_AFTER: Duration = Duration::from_mins(1);
/// How soon a session is looked at again that only waits for its end.
const CALM: Duration = Duration::from_mins(1);

/// Brings the record up to the time and to what its task is, wakes its execution, and where there is
/// none that would act, acts.
pub(super) async fn look(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let session = inspect_session::refresh(env, id, Actor::Sweep).await?;
    if matches!(session, Session::Waiting(_)) {
        close_session::admit_next(env, &session).await?;
        return recheck_later(env, id, CALM).await;
    }
    check_task(env, &session).await?;
    let session = inspect_session::refresh(env, id, Actor::Sweep).await?;
    let rung = notification::wake_execution(env, &session).await?;
    if rung != Some(Resume::Resumed) {
        act(env, &session).await?;
    }
    if matches!(session, Session::Ready(_)) {
        transition::start_jobs(env, &session).await?;
    }
    let until = calm_time(env, &session);
    recheck_later(env, id, until).await
}

/// Asks the provider for the task, in case its events were lost.
async fn check_task(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let id = session.id();
    let Some(task) = session.task() else {
        for facts in env.compute.list(Some(&id.to_string())).await? {
            observe_task::observe(env, &facts).await?;
        }
        return Ok(());
    };
    let facts = env.compute.describe(std::slice::from_ref(task)).await?;
    match facts.first() {
        Some(facts) if facts.status == TaskStatus::Stopped || !is_ready(session) => {
            observe_task::observe(env, facts).await
        }
        Some(_) => Ok(()),
        None if is_new(env, session) => Ok(()),
        None => gone(env, id, task).await,
    }
}

/// The provider does not know the task any more.
async fn gone(env: &Env, id: SessionId, task: &TaskId) -> Result<(), HandlerError> {
    tracing::warn!(session.id = %id, task.id = %task, "the session's task is gone");
    let event = Event::TaskStopped(None);
    transition::apply(env, id, Actor::Sweep, &[event]).await?;
    Ok(())
}

fn is_new(env: &Env, session: &Session) -> bool {
    let given_at = session.common().task_at;
    matches!(session, Session::Starting(_))
        && given_at.is_some_and(|at| env.now() < at + KNOWN_AFTER)
}

/// Nobody waits to be rung: the execution is busy, late or gone. What the handlers would do is done
/// here; all of it is safe to do twice.
async fn act(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let id = session.id();
    match session.next_step(env.now()) {
        Step::Provision => env.workflow.start(id).await?,
        Step::StopTask => {
            stop_task::stop(env, id, Actor::Sweep).await?;
        }
        Step::Finish => {
            close_session::close(env, id, None, Actor::Sweep).await?;
        }
        Step::AwaitSlot
        | Step::WaitRunning
        | Step::WaitEnd { .. }
        | Step::WaitStopped
        | Step::Done => {}
    }
    Ok(())
}

const fn is_ready(session: &Session) -> bool {
    matches!(session, Session::Ready(_))
}

fn calm_time(env: &Env, session: &Session) -> Duration {
    match session.next_step(env.now()) {
        Step::WaitEnd { until } => until.since(env.now()).clamp(Duration::from_millis(1), CALM),
        Step::AwaitSlot
        | Step::Provision
        | Step::WaitRunning
        | Step::StopTask
        | Step::WaitStopped
        | Step::Finish
        | Step::Done => SOON,
    }
}
