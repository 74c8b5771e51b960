//! Starts the execution of an admitted session.
//!
//! Safe to repeat: a session has at most one execution.

use domain::{SessionId, session::Session};

use crate::{Env, HandlerError, transition};

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let session = transition::read(env, id).await?.value;
    if is_new(&session) {
        env.workflow.start(session.id()).await?;
        tracing::info!(session.id = %session.id(), "started the execution of the session");
    }
    Ok(())
}

/// Whether the session has no execution yet. A session that was stopped before its first attempt
/// still needs an execution, which closes it.
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
