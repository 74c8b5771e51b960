//! Bells: hints to look at a record. The record is the truth; `due_at` makes a lost bell good.

use std::time::Duration;

use domain::{
    Secret, Timestamp,
    message::Message,
    ports::Resume,
    session::{Session, Step, Waits},
};

use crate::{Env, HandlerError, next::Next};

/// Sends a message. A failure is only logged: somebody looks at the record when it is due.
pub(crate) async fn send(env: &Env, message: Message, delay: Duration) {
    if let Err(error) = env.queue.send(&message, delay).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "a bell was not rung");
    }
}

/// Whether the fact is there that an execution waits for.
pub(crate) fn is_over(waits: Waits, until: Timestamp, session: &Session, now: Timestamp) -> bool {
    let step = session.next_step(now);
    match waits {
        Waits::Running => !matches!(step, Step::WaitRunning),
        // A deadline that came nearer is a fact too: the timer must be set anew.
        Waits::End => !matches!(step, Step::WaitEnd { until: new } if !is_earlier(new, until)),
        Waits::Stopped => matches!(step, Step::Finish | Step::Done),
    }
}

/// Timers count whole seconds, so less than that is no difference.
fn is_earlier(new: Timestamp, old: Timestamp) -> bool {
    new + Duration::from_millis(1500) < old
}

/// Wakes the session's execution if the fact is there that it waits for. Ringing twice is harmless.
/// `None`: nobody waits, or not for this.
pub(crate) async fn wake_execution(
    env: &Env,
    session: &Session,
) -> Result<Option<Resume>, HandlerError> {
    let Some(waiter) = session.waiter() else { return Ok(None) };
    if !is_over(waiter.waits, waiter.until, session, env.now()) {
        return Ok(None);
    }
    answer_token(env, &waiter.token, session).await.map(Some)
}

/// Answers a token by what the record says.
pub(crate) async fn answer_token(
    env: &Env,
    token: &Secret<String>,
    session: &Session,
) -> Result<Resume, HandlerError> {
    let next = serde_json::to_string(&Next::of(session, env.now()))
        .expect("a word and a number are always JSON");
    Ok(env.workflow.resume(token, &next).await?)
}
