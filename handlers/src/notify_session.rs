//! Wakes whoever waits for a session, after the API wrote a fact. Safe to repeat: it only looks, and
//! ringing twice is harmless.

use domain::{
    session::{Session, Step},
    timeline::Actor,
};
use serde_json::Value;

use crate::{
    Env, HandlerError, close_session, inspect_session, notification, outbox::OfSession, transition,
};

pub(crate) async fn handle(env: &Env, input: OfSession) -> Result<Value, HandlerError> {
    let session = inspect_session::refresh(env, input.session_id, Actor::Workflow).await?;
    if ended_before_its_slot(&session, env) {
        close_session::close(env, session.id(), None, Actor::Workflow).await?;
        return Ok(Value::Null);
    }
    notification::wake_execution(env, &session).await?;
    if matches!(session, Session::Ready(_)) {
        transition::start_jobs(env, &session).await?;
    }
    Ok(Value::Null)
}

/// A session that never had a slot has no execution that could close it.
fn ended_before_its_slot(session: &Session, env: &Env) -> bool {
    matches!(session, Session::Stopping(_))
        && !session.holds_slot()
        && session.next_step(env.now()) == Step::Finish
}
