//! The sessions of the same user that wait for a slot.

use std::time::Duration;

use domain::{
    message::Message,
    ports::{CommitError, Expect, Versioned, Write},
    session::Session,
    timeline::Actor,
};

use crate::{Env, HandlerError, notification, outbox::Batch};

/// Gives free slots to the waiting sessions of this session's user, in their order.
pub(crate) async fn admit_next(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let limit = env.policy.max_active_sessions;
    for Versioned { value, version } in env.store.waiting(session.user()).await? {
        let id = value.id();
        let Session::Waiting(waiting) = value else { continue };
        let transition = waiting.admit(env.stamp(Actor::Workflow)).any();
        let slot = Write::TakeSlot { user: session.user().clone(), limit };
        let batch = Batch::default().transition(env, &transition, Expect::At(version)).write(slot);
        match batch.commit(env).await {
            Ok(()) => {
                notification::send(env, Message::StartSession { session: id }, Duration::ZERO)
                    .await;
            }
            Err(CommitError::Conflict) => {}
            Err(CommitError::QuotaReached) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
