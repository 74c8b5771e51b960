//! Wakes whoever waits for a session, after the API wrote a fact. Safe to repeat: it only looks, and
//! ringing twice is harmless.

use domain::{
    SessionId,
    session::{Session, Step},
    timeline::Actor,
};

use crate::{Env, HandlerError, close_session, inspect_session, notification, transition};

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let session = inspect_session::refresh(env, id, Actor::Workflow).await?;
    if ended_before_its_slot(&session, env) {
        close_session::close(env, session.id(), None, Actor::Workflow).await?;
        return Ok(());
    }
    notification::wake_execution(env, &session).await?;
    if matches!(session, Session::Ready(_)) {
        transition::start_jobs(env, &session).await?;
    }
    Ok(())
}

/// A session that never had a slot has no execution that could close it.
fn ended_before_its_slot(session: &Session, env: &Env) -> bool {
    matches!(session, Session::Stopping(_))
        && !session.holds_slot()
        && session.next_step(env.now()) == Step::Finish
}
