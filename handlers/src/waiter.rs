//! Registers an execution as the waiter for a change of its session.
//!
//! Safe to repeat: with a new task token, the last waiter stays. The write is conditional on the
//! version in which the change was not there, so no change can be missed.

use std::time::Duration;

use domain::{
    Secret, SessionId, Timestamp,
    ports::Versioned,
    session::{Session, Waiter, Waits},
    timeline::Actor,
};
use serde::Deserialize;

use crate::{
    Env, HandlerError, close_session, notification,
    transition::{self, RetryOnConflict},
};

/// The input of a step that waits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitInput {
    pub(crate) session_id: SessionId,
    token: Secret<String>,
    /// The timeout of the state, unless that is fixed. Seconds.
    wait_seconds: Option<u64>,
    /// When the state was entered, and with it the timer of its first attempt set, which may be seconds ago where
    /// functions start late. Executions of earlier versions don't say it.
    entered_at: Option<Timestamp>,
    /// How many attempts of the state have failed. Each retry has a timer of its own.
    #[serde(default)]
    retries: u32,
}

/// By how much a session may be due before it must be.
const NEAR: Duration = Duration::from_secs(15);

/// What a step waits for, and how long.
pub(crate) struct Wait {
    pub(crate) waits: Waits,
    /// The timeout of the state, if the input has none.
    pub(crate) timeout: Duration,
    /// When the sweep checks the session, in case a notification was lost.
    pub(crate) recheck_after: Duration,
}

/// When the session is due already, if that is hardly before `recheck_at`: to move it would be billed like a write.
fn soon_enough(session: &Session, now: Timestamp, recheck_at: Timestamp) -> Option<Timestamp> {
    let is_near = |due: &Timestamp| *due <= recheck_at && recheck_at.since(*due) < NEAR;
    session.due_at().filter(|due| now < *due).filter(is_near)
}

/// Answers the task token at once if the wait is over, else registers it on the session's record. A session whose task
/// has stopped is closed first.
pub(crate) async fn wait(env: &Env, input: WaitInput, wait: Wait) -> Result<(), HandlerError> {
    let mut retry = RetryOnConflict::of(env, input.session_id);
    loop {
        let Versioned { value: session, version } = retry.next().await?;
        let now = env.now();
        let set_at = input.entered_at.filter(|_| input.retries == 0).unwrap_or(now).min(now);
        let until = set_at + input.wait_seconds.map_or(wait.timeout, Duration::from_secs);
        if notification::is_over(wait.waits, until, &session, now) {
            let session = if wait.waits == Waits::Stopped {
                close_session::close(env, input.session_id, None, Actor::Workflow).await?
            } else {
                session
            };
            notification::answer_token(env, &input.token, wait.waits, &session).await?;
            return Ok(());
        }
        let waiter = Waiter { token: input.token.clone(), waits: wait.waits, until };
        let recheck_at = until.min(now + wait.recheck_after);
        let recheck_at = soon_enough(&session, now, recheck_at).unwrap_or(recheck_at);
        if transition::put(env, session.register_waiter(waiter, recheck_at), version).await? {
            return Ok(());
        }
    }
}
