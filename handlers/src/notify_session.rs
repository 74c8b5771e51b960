//! Reconciles a session that the API changed, which notifies its execution and its workers.
//!
//! Safe to repeat: every write is conditional, and a second notification does no harm.

use domain::{SessionId, timeline::Actor};

use crate::{Env, HandlerError, reconcile};

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    reconcile::reconcile(env, id, Actor::Workflow).await?;
    Ok(())
}
