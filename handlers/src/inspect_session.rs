//! Applies to a session what is due by now, and answers what its execution does next.
//!
//! Safe to repeat: every write is conditional, and what was applied is not due again.

use std::time::Duration;

use domain::{message::Message, session::Session, timeline::Actor};

use crate::{Env, HandlerError, next::Next, notification, reconcile, step::SessionInput};

pub(crate) async fn handle(env: &Env, input: SessionInput) -> Result<Next, HandlerError> {
    let session = reconcile::refresh(env, input.session_id, Actor::Workflow).await?;
    if is_extended(&session) {
        // In case the message of the extension was lost.
        let message = Message::SetDeadline { session: session.id() };
        notification::send(env, message, Duration::ZERO).await;
    }
    Ok(Next::of(&session, env.now()))
}

fn is_extended(session: &Session) -> bool {
    let common = session.common();
    let first = session.ready_at().map(|at| at + common.spec.ttl);
    matches!(session, Session::Ready(_)) && first.is_some_and(|first| common.expires_at > first)
}

#[cfg(test)]
mod tests;
