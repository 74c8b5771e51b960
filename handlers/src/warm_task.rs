//! The records of warm tasks that no session has claimed.
//!
//! Safe to repeat: every write is conditional. A record that was changed meanwhile stays as it is,
//! because whatever changed it has seen newer facts.

use domain::{
    WarmId,
    ports::{Expect, Version, Versioned, Write},
    task::{TaskFacts, TaskStatus},
    warm::Warm,
};

use crate::{Env, HandlerError, outbox::Batch, task};

/// Records what became of an unclaimed warm task, and stops the task of a retired record.
pub(crate) async fn observe(env: &Env, id: WarmId, facts: &TaskFacts) -> Result<(), HandlerError> {
    let Some(Versioned { value, version }) = env.store.warm(id).await? else {
        return task::stop_orphan(env, facts).await;
    };
    match value {
        Warm::Starting(warm) if facts.status == TaskStatus::Running && !facts.ending => {
            if !task::probe(env, facts).await? {
                return Ok(());
            }
            let recycle_at = env.now() + env.policy.warm_max_age;
            put(env, warm.answered(facts.task.clone(), recycle_at).into(), version).await
        }
        Warm::Starting(warm) if facts.status == TaskStatus::Stopped => {
            put(env, warm.retire().into(), version).await
        }
        Warm::Available(warm) if facts.status == TaskStatus::Stopped || facts.ending => {
            put(env, warm.retire().into(), version).await
        }
        Warm::Retired(_) => task::stop_orphan(env, facts).await,
        Warm::Starting(_) | Warm::Available(_) | Warm::Claimed(_) => Ok(()),
    }
}

/// Retires an unclaimed warm task, then stops it. The record comes first: from then on no session
/// can claim the task.
pub(crate) async fn retire(env: &Env, id: WarmId) -> Result<(), HandlerError> {
    let Some(Versioned { value, version }) = env.store.warm(id).await? else { return Ok(()) };
    let retired = match value {
        Warm::Starting(warm) => warm.retire(),
        Warm::Available(warm) => warm.retire(),
        Warm::Claimed(_) | Warm::Retired(_) => return Ok(()),
    };
    put(env, retired.into(), version).await?;
    for facts in env.compute.list(Some(&id.to_string())).await? {
        observe(env, id, &facts).await?;
    }
    Ok(())
}

async fn put(env: &Env, warm: Warm, read: Version) -> Result<(), HandlerError> {
    Batch::default().write(Write::Warm(Box::new(warm), Expect::At(read))).put(env).await?;
    Ok(())
}
