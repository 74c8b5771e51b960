//! A session that is due: what its own execution should have done, or would do next.

use std::time::Duration;

use domain::{
    SessionId, TaskId,
    session::{Event, Session, Step},
    task::TaskStatus,
    timeline::Actor,
};

use crate::{
    Env, HandlerError, close_session, observe_task,
    reconcile::{self, Reconciled},
    stop_task,
    sweep::tasks::KnownTasks,
    transition,
};

/// When a session is due again whose state is about to change.
const RECHECK_SOON: Duration = Duration::from_secs(15);
/// When a session is due again that waits for a slot.
const RECHECK_WAITING: Duration = Duration::from_mins(1);
/// How long a provider may not know a task that it has just started: its reads may lag behind.
const KNOWN_AFTER: Duration = Duration::from_mins(1);

/// Brings the record up to date with the time and with the task, notifies the execution, and acts
/// where no execution does.
pub(super) async fn handle(
    env: &Env,
    id: SessionId,
    tasks: &KnownTasks,
) -> Result<(), HandlerError> {
    let session = reconcile::refresh(env, id, Actor::Sweep).await?;
    if matches!(session, Session::Waiting(_)) {
        close_session::admit_next(env, &session).await?;
        return recheck_after(env, id, RECHECK_WAITING).await;
    }
    check_task(env, &session, tasks).await?;
    let Reconciled { session, is_resumed } = reconcile::reconcile(env, id, Actor::Sweep).await?;
    if !is_resumed {
        act(env, &session).await?;
    }
    recheck_after(env, id, recheck_delay(env, &session)).await
}

/// Asks the provider for the task, because its events may be lost.
async fn check_task(env: &Env, session: &Session, tasks: &KnownTasks) -> Result<(), HandlerError> {
    let id = session.id();
    let Some(task) = session.task() else {
        for facts in env.compute.list(Some(&id.to_string())).await? {
            observe_task::observe(env, &facts).await?;
        }
        return Ok(());
    };
    match &tasks.facts(env, task).await? {
        Some(facts) if facts.status == TaskStatus::Stopped || !is_ready(session) => {
            observe_task::observe(env, facts).await
        }
        Some(_) => Ok(()),
        None if is_new(env, session) => Ok(()),
        None => record_lost_task(env, id, task).await,
    }
}

/// Records that the provider does not know the session's task any more.
async fn record_lost_task(env: &Env, id: SessionId, task: &TaskId) -> Result<(), HandlerError> {
    tracing::warn!(
        session.id = %id,
        task.id = %task,
        "the provider does not know the session's task any more; the session will end"
    );
    let event = Event::TaskStopped(None);
    transition::apply(env, id, Actor::Sweep, &[event]).await?;
    Ok(())
}

fn is_new(env: &Env, session: &Session) -> bool {
    let started_at = session.common().task_at;
    matches!(session, Session::Starting(_))
        && started_at.is_some_and(|at| env.now() < at + KNOWN_AFTER)
}

const fn is_ready(session: &Session) -> bool {
    matches!(session, Session::Ready(_))
}

/// Does what the execution would do next. No execution waits for the session: it is busy, late or
/// gone. All of this is safe to do twice.
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

fn recheck_delay(env: &Env, session: &Session) -> Duration {
    match session.next_step(env.now()) {
        Step::WaitEnd { until } => {
            until.since(env.now()).clamp(Duration::from_millis(1), env.policy.ready_recheck)
        }
        Step::AwaitSlot
        | Step::Provision
        | Step::WaitRunning
        | Step::StopTask
        | Step::WaitStopped
        | Step::Finish
        | Step::Done => RECHECK_SOON,
    }
}

/// Sets when the session is due again, unless it has changed meanwhile.
async fn recheck_after(env: &Env, id: SessionId, delay: Duration) -> Result<(), HandlerError> {
    let read = transition::read(env, id).await?;
    let now = env.now();
    if read.value.due_at().is_some_and(|due| due <= now) {
        transition::put(env, read.value.recheck_at(now + delay), read.version).await?;
    }
    Ok(())
}
