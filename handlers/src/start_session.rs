//! Begins the execution of an admitted session. Safe to repeat: there is one execution a session.

use domain::session::Session;
use serde_json::Value;

use crate::{Env, HandlerError, outbox::OfSession, transition};

pub(crate) async fn handle(env: &Env, input: OfSession) -> Result<Value, HandlerError> {
    let session = transition::read(env, input.session_id).await?.value;
    if is_new(&session) {
        env.workflow.start(session.id()).await?;
        tracing::info!(session.id = %session.id(), "began the execution");
    }
    Ok(Value::Null)
}

/// A session that was stopped before anything was done for it still needs its execution to end.
fn is_new(session: &Session) -> bool {
    match session {
        Session::Queued(_) => true,
        Session::Stopping(_) => session.holds_slot() && session.common().attempt == 0,
        Session::Waiting(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_)
        | Session::Ended(_) => false,
    }
}
