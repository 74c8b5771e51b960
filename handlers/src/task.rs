//! What is done with a task, whether it serves a session or is kept warm.

use std::time::Duration;

use domain::{
    message::Message,
    ports::{ShellError, StopError},
    session::Reason,
    task::{TaskFacts, TaskStatus},
};

use crate::{Env, HandlerError, notification};

/// The delay before a runner that does not answer is probed again: an eighth of the task's age,
/// between these limits. A probe costs calls of a rate limit that all sessions share.
const PROBE_DELAY_MIN: Duration = Duration::from_secs(1);
const PROBE_DELAY_MAX: Duration = Duration::from_secs(30);

/// Whether the runner in this task answers. If it does not answer yet, a later probe is scheduled.
pub(crate) async fn probe(env: &Env, facts: &TaskFacts) -> Result<bool, HandlerError> {
    match env.shell.probe(&facts.task).await {
        Ok(()) => Ok(true),
        Err(ShellError::NotReady | ShellError::NotStarted { gone: false }) => {
            probe_later(env, facts).await;
            Ok(false)
        }
        // The end of a task is an event of its own.
        Err(ShellError::Gone | ShellError::NotStarted { gone: true }) => Ok(false),
        Err(error @ ShellError::Backend(_)) => Err(error.into()),
    }
}

/// Schedules another probe.
pub(crate) async fn probe_later(env: &Env, facts: &TaskFacts) {
    let age = env.now().since(facts.at);
    let delay = (age / 8).clamp(PROBE_DELAY_MIN, PROBE_DELAY_MAX);
    notification::send(env, Message::ProbeTask { facts: facts.clone() }, delay).await;
}

/// Stops a task that no live record owns.
pub(crate) async fn stop_orphan(env: &Env, facts: &TaskFacts) -> Result<(), HandlerError> {
    if matches!(facts.status, TaskStatus::Stopping | TaskStatus::Stopped) {
        return Ok(());
    }
    match env.compute.stop(&facts.task, Reason::ReapedOrphan.name()).await {
        Ok(()) | Err(StopError::Unknown) => {
            tracing::warn!(task.id = %facts.task, "stopped a task that no live record owns");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
