//! Notifications: messages, and answers to the task tokens of executions.
//!
//! A notification says which record to read, never what to believe of it. One that is lost costs
//! time only: every record that is not final has a `due_at`, after which the sweep reads it. Where the store does not
//! list jobs that are due, it finds them by the tasks of their sessions.

use std::time::Duration;

use domain::{
    Secret, Timestamp,
    message::Message,
    ports::{Answer, Resume},
    session::{Session, Step, Waits},
};

use crate::{Code, Env, HandlerError, next::Next};

/// Sends a message. A failure is logged only, because the sweep reads the record when it is due.
pub(crate) async fn send(env: &Env, message: Message, delay: Duration) {
    if let Err(error) = env.queue.send(&message, delay).await {
        let (lane, error) = (message.lane().name(), &error as &dyn std::error::Error);
        tracing::warn!(lane, ?message, error, "failed to send a wake-up; the sweep will retry");
    }
}

/// Whether a wait for this change of a session, with a timer set to `until`, is over.
pub(crate) fn is_over(waits: Waits, until: Timestamp, session: &Session, now: Timestamp) -> bool {
    let step = session.next_step(now);
    match waits {
        Waits::Running => !matches!(step, Step::WaitRunning),
        // An earlier deadline ends the wait too: the execution must set a new timer.
        Waits::End => !matches!(step, Step::WaitEnd { until: new } if !is_earlier(new, until)),
        Waits::Stopped => matches!(step, Step::Finish | Step::Done),
    }
}

/// Timers count whole seconds, so a smaller difference is none.
fn is_earlier(new: Timestamp, old: Timestamp) -> bool {
    new + Duration::from_millis(1500) < old
}

/// Resumes the execution that waits for the session, if its wait is over. Returns whether an
/// execution was resumed. A second answer to the same token does no harm.
pub(crate) async fn resume_execution(env: &Env, session: &Session) -> Result<bool, HandlerError> {
    // The wait for a stopped task ends when the session is closed, see `close_session`.
    let Some(waiter) = session.waiter().filter(|waiter| waiter.waits != Waits::Stopped) else {
        return Ok(false);
    };
    if !is_over(waiter.waits, waiter.until, session, env.now()) {
        return Ok(false);
    }
    Ok(answer_token(env, &waiter.token, waiter.waits, session).await? == Resume::Resumed)
}

/// The error of a wait for the end of a ready session one of whose deadlines has become earlier: the
/// execution must set a new timer.
const DEADLINE_MOVED: &str = "DeadlineMoved";

/// Answers the task token of a wait that is over. Each waiting state is followed by one other state; the token
/// fails where the session needs something else.
pub(crate) async fn answer_token(
    env: &Env,
    token: &Secret<String>,
    waits: Waits,
    session: &Session,
) -> Result<Resume, HandlerError> {
    let now = env.now();
    let next = serde_json::to_string(&Next::of(session, now))
        .expect("an action and a number are always JSON");
    let is_ready = matches!(session.next_step(now), Step::WaitEnd { .. });
    let answer = match waits {
        Waits::Running if !is_ready => Answer::Error(Code::StopRequested.name()),
        Waits::End if is_ready => Answer::Error(DEADLINE_MOVED),
        Waits::Running | Waits::End | Waits::Stopped => Answer::Output(&next),
    };
    Ok(env.workflow.resume(token, answer).await?)
}
