//! Begins the execution of an admitted session. Safe to repeat: there is one execution a session.

use domain::{SessionId, session::Session};

use crate::{Env, HandlerError, transition};

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let session = transition::read(env, id).await?.value;
    if is_new(&session) {
        env.workflow.start(session.id()).await?;
        tracing::info!(session.id = %session.id(), "began the execution");
    }
    Ok(())
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
