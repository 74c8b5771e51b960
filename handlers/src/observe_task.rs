//! Takes note of what became of a task.
//!
//! Events come late, twice, out of order or never. Each fact is written once and a stopped task
//! absorbs all that follows, so the order does not matter; a task whose session is over is killed.

use std::time::Duration;

use domain::{
    SessionId, WarmId,
    message::Message,
    ports::{ShellError, StopError},
    session::{Event, Reason, Session},
    task::{StopCode, TaskFacts, TaskStatus},
    timeline::Actor,
    warm::Warm,
};

use crate::{Env, HandlerError, fill_pool, notification, transition};

/// How long a runner gets before it is probed again: at first, and when it has not answered for long.
/// A probe costs calls of a budget that all sessions share.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
const PROBE_SELDOM: Duration = Duration::from_secs(30);

pub(crate) async fn handle(env: &Env, facts: TaskFacts) -> Result<(), HandlerError> {
    observe(env, &facts).await
}

/// Finds whose task it is and applies what is new.
pub(crate) async fn observe(env: &Env, facts: &TaskFacts) -> Result<(), HandlerError> {
    if let Ok(id) = facts.started_by.parse::<SessionId>() {
        return of_session(env, id, facts).await;
    }
    if let Ok(id) = facts.started_by.parse::<WarmId>() {
        return match env.store.warm(id).await?.map(|read| read.value) {
            Some(Warm::Claimed(claimed)) => of_session(env, claimed.session(), facts).await,
            _ => fill_pool::observe(env, id, facts).await,
        };
    }
    tracing::info!(task.id = %facts.task, "a task of somebody else was ignored");
    Ok(())
}

async fn of_session(env: &Env, id: SessionId, facts: &TaskFacts) -> Result<(), HandlerError> {
    let Some(read) = env.store.session(id).await? else { return kill(env, facts).await };
    if is_foreign(&read.value, facts) {
        return kill(env, facts).await;
    }
    let mut events = vec![Event::Placed(facts.task.clone())];
    match facts.status {
        TaskStatus::Stopped => events.push(Event::TaskStopped(facts.stop.clone())),
        TaskStatus::Running if was_interrupted(facts) => {
            let note = facts.stop.as_ref().map(|cause| cause.message.clone());
            events.push(Event::Stop { reason: Reason::SpotInterruption, note });
        }
        TaskStatus::Running => {
            events.push(Event::Running);
            if awaits_probe(&read.value) && probe(env, facts).await? {
                events.push(Event::Ready);
            }
        }
        TaskStatus::Pending | TaskStatus::Stopping => {}
    }
    let session = transition::apply(env, id, Actor::TaskEvent, &events).await?.into_session();
    notification::wake_execution(env, &session).await?;
    if matches!(session, Session::Ready(_)) {
        transition::start_jobs(env, &session).await?;
    }
    Ok(())
}

/// A task that the session does not know and will not take: its attempt or its session is over.
fn is_foreign(session: &Session, facts: &TaskFacts) -> bool {
    match session {
        Session::Ended(_) => true,
        Session::Waiting(_) | Session::Queued(_) => true,
        Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_)
        | Session::Stopping(_) => session.task().is_some_and(|task| *task != facts.task),
    }
}

fn was_interrupted(facts: &TaskFacts) -> bool {
    facts.ending && facts.stop.as_ref().is_some_and(|cause| cause.code == StopCode::Interrupted)
}

fn awaits_probe(session: &Session) -> bool {
    matches!(session, Session::Provisioning(_) | Session::Starting(_))
}

/// Whether the runner answers; if not yet, it is probed again after a while.
pub(crate) async fn probe(env: &Env, facts: &TaskFacts) -> Result<bool, HandlerError> {
    match env.shell.probe(&facts.task).await {
        Ok(()) => Ok(true),
        Err(ShellError::NotReady) => {
            let again = (env.now().since(facts.at) / 8).clamp(PROBE_AGAIN, PROBE_SELDOM);
            notification::send(env, Message::ProbeTask { facts: facts.clone() }, again).await;
            Ok(false)
        }
        // Its end is an event of its own.
        Err(ShellError::Gone) => Ok(false),
        Err(error @ ShellError::Backend(_)) => Err(error.into()),
    }
}

/// Stops a task that nobody owns.
pub(crate) async fn kill(env: &Env, facts: &TaskFacts) -> Result<(), HandlerError> {
    if facts.status == TaskStatus::Stopped || facts.status == TaskStatus::Stopping {
        return Ok(());
    }
    match env.compute.stop(&facts.task, Reason::ReapedOrphan.name()).await {
        Ok(()) | Err(StopError::Unknown) => {
            tracing::warn!(task.id = %facts.task, "stopped a task without a live record");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
