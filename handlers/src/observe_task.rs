//! Records what became of a task.
//!
//! Safe to repeat: events come late, twice, out of order or never, so each fact is written once, and
//! a session whose task has stopped ignores all later events of that task. A task whose session is
//! over is stopped.

use domain::{
    SessionId, WarmId,
    session::{Event, Reason, Session},
    task::{StopCode, TaskFacts, TaskStatus},
    timeline::Actor,
    warm::Warm,
};

use crate::{
    Env, HandlerError, close_session, reconcile, start_files, task, transition, warm_task,
};

pub(crate) async fn handle(env: &Env, facts: TaskFacts) -> Result<(), HandlerError> {
    observe(env, &facts).await
}

/// Finds the session or the warm task that the task was started for, and records what is new.
pub(crate) async fn observe(env: &Env, facts: &TaskFacts) -> Result<(), HandlerError> {
    if let Ok(id) = facts.started_by.parse::<SessionId>() {
        return observe_for_session(env, id, facts).await;
    }
    if let Ok(id) = facts.started_by.parse::<WarmId>() {
        return match env.store.warm(id).await?.map(|read| read.value) {
            Some(Warm::Claimed(warm)) => observe_for_session(env, warm.session(), facts).await,
            _ => warm_task::observe(env, id, facts).await,
        };
    }
    tracing::info!(task.id = %facts.task, "ignored a task that was not started by this service");
    Ok(())
}

async fn observe_for_session(
    env: &Env,
    id: SessionId,
    facts: &TaskFacts,
) -> Result<(), HandlerError> {
    let Some(read) = env.store.session(id).await? else {
        return task::stop_orphan(env, facts).await;
    };
    if is_foreign(&read.value, facts) {
        return task::stop_orphan(env, facts).await;
    }
    if close_session::close_with_task(env, &read, facts, Actor::TaskEvent).await? {
        return Ok(());
    }
    let events = events_of(env, &read.value, facts).await?;
    let session = transition::apply(env, id, Actor::TaskEvent, &events).await?.into_session();
    reconcile::notify(env, &session).await?;
    Ok(())
}

/// The events that these facts mean for the session. An event that the session knows has no effect.
async fn events_of(
    env: &Env,
    session: &Session,
    facts: &TaskFacts,
) -> Result<Vec<Event>, HandlerError> {
    let mut events = vec![Event::Placed(facts.task.clone())];
    match facts.status {
        TaskStatus::Stopped => events.push(Event::TaskStopped(facts.stop.clone())),
        TaskStatus::Running if is_interrupted(facts) => {
            let note = facts.stop.as_ref().map(|cause| cause.message.clone());
            events.push(Event::Stop { reason: Reason::SpotInterruption, note });
        }
        TaskStatus::Running => {
            events.push(Event::Running);
            if awaits_probe(session) && task::probe(env, facts).await? {
                events.extend(start_files::write(env, session.id(), facts).await?);
            }
        }
        TaskStatus::Unplaced => events.extend(given_up(env, session, facts)),
        TaskStatus::Pending | TaskStatus::Stopping => {}
    }
    Ok(events)
}

/// The end of a session whose task has waited too long for a place to run.
fn given_up(env: &Env, session: &Session, facts: &TaskFacts) -> Option<Event> {
    let waited = env.now().since(facts.at);
    if !awaits_probe(session) || facts.ending || waited < env.policy.placed_within {
        return None;
    }
    let note = format!("the task has waited {} s for a place to run", waited.as_secs());
    Some(Event::Stop { reason: Reason::CapacityUnavailable, note: Some(note) })
}

/// Whether the session neither has this task nor can get it: its attempt or the session is over.
fn is_foreign(session: &Session, facts: &TaskFacts) -> bool {
    match session {
        Session::Ended(_) | Session::Waiting(_) | Session::Queued(_) => true,
        Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_)
        | Session::Stopping(_) => session.task().is_some_and(|task| *task != facts.task),
    }
}

fn is_interrupted(facts: &TaskFacts) -> bool {
    facts.ending && facts.stop.as_ref().is_some_and(|cause| cause.code == StopCode::Interrupted)
}

fn awaits_probe(session: &Session) -> bool {
    matches!(session, Session::Provisioning(_) | Session::Starting(_))
}

#[cfg(test)]
mod tests;
