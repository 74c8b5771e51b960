//! The sessions that wait for a slot, or for room on the host.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    message::Message,
    ports::{CommitError, Expect, Versioned, Write},
    session::Session,
    timeline::Actor,
};

use crate::{Env, HandlerError, notification, outbox::Batch};

/// Gives free slots to the waiting sessions of this session's user, and of all users where they share
/// one host, in their order.
pub(crate) async fn admit_next(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let limit = env.policy.max_active_sessions;
    let mut at_limit = BTreeSet::new();
    for Versioned { value, version } in env.store.admissible(session.user()).await? {
        let (id, user) = (value.id(), value.user().clone());
        let Session::Waiting(waiting) = value else { continue };
        if at_limit.contains(&user) {
            continue;
        }
        let transition = waiting.admit(env.stamp(Actor::Workflow)).any();
        let size = transition.session.common().spec.size;
        let batch = Batch::default()
            .transition(env, &transition, Expect::At(version))
            .write(Write::TakeSlot { user: user.clone(), limit })
            .write(Write::RequireCapacity { session: id, size });
        match batch.commit(env).await {
            Ok(()) => {
                notification::send(env, Message::StartSession { session: id }, Duration::ZERO)
                    .await;
            }
            Err(CommitError::Conflict) => {}
            Err(CommitError::QuotaReached) => drop(at_limit.insert(user)),
            // A smaller session behind it must not overtake it again and again.
            Err(CommitError::NoCapacity) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
