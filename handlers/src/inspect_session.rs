//! Applies to a session what is due by now, and answers what its execution does next.
//!
//! Safe to repeat: every write is conditional, and what was applied is not due again.

use domain::timeline::Actor;

use crate::{Env, HandlerError, next::Next, reconcile, step::SessionInput};

pub(crate) async fn handle(env: &Env, input: SessionInput) -> Result<Next, HandlerError> {
    let session = reconcile::refresh(env, input.session_id, Actor::Workflow).await?;
    Ok(Next::of(&session, env.now()))
}

#[cfg(test)]
mod tests;
