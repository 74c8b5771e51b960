//! Keeps warm tasks ahead of the sessions.
//!
//! Safe to repeat: each warm task is on record before it is asked for, and its id is the request's
//! token. Two fillers at once may overshoot by a task; the next one gives the surplus up.

use std::time::Duration;

use domain::{
    WarmId,
    ports::{Expect, RunError, RunTask, Version, Versioned, Write},
    task::{TaskFacts, TaskStatus},
    warm::{Kind, Warm},
};

use crate::{Env, HandlerError, observe_task, outbox::Batch};

/// How long a warm task may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);

/// Brings each kind to its number.
pub(crate) async fn handle(env: &Env) -> Result<(), HandlerError> {
    for (kind, wanted) in &env.policy.warm {
        let have = env.store.warm_of(kind).await?;
        let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX);
        for surplus in have.iter().skip(wanted) {
            retire(env, surplus.value.id()).await?;
        }
        for _ in have.len()..wanted {
            if !start(env, kind).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Starts one; false if there is no room now.
async fn start(env: &Env, kind: &Kind) -> Result<bool, HandlerError> {
    let id = WarmId::from_ulid(env.ids.ulid());
    let now = env.now();
    let plan = Warm::plan(id, kind.clone(), now, now + ANSWER_WITHIN);
    env.store.commit(vec![Write::Warm(Box::new(plan.into()), Expect::New)]).await?;
    let request = RunTask {
        started_by: id.to_string(),
        client_token: id.to_string(),
        image: kind.image.clone(),
        size: kind.size,
        network: kind.network,
        spot: false,
    };
    match env.compute.run(&request).await {
        Ok(_) => Ok(true),
        Err(RunError::Capacity(_) | RunError::Throttled | RunError::Refused(_)) => {
            retire(env, id).await?;
            Ok(false)
        }
        // Whether it runs is not known: its event or its record's due time tells.
        Err(error @ RunError::Backend(_)) => Err(error.into()),
    }
}

/// Takes note of what became of a warm task that serves no session.
pub(crate) async fn observe(env: &Env, id: WarmId, facts: &TaskFacts) -> Result<(), HandlerError> {
    let Some(Versioned { value, version }) = env.store.warm(id).await? else {
        return observe_task::kill(env, facts).await;
    };
    match value {
        Warm::Starting(warm) if facts.status == TaskStatus::Running && !facts.ending => {
            if !observe_task::probe(env, facts).await? {
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
        Warm::Retired(_) => observe_task::kill(env, facts).await,
        Warm::Starting(_) | Warm::Available(_) | Warm::Claimed(_) => Ok(()),
    }
}

/// Gives up a warm task that is overdue, before it is stopped: from here on no session gets it.
pub(crate) async fn retire(env: &Env, id: WarmId) -> Result<(), HandlerError> {
    let Some(Versioned { value, version }) = env.store.warm(id).await? else { return Ok(()) };
    let retired = match value {
        Warm::Starting(warm) => warm.retire(),
        Warm::Available(warm) => warm.retire(),
        Warm::Claimed(_) | Warm::Retired(_) => return Ok(()),
    };
    put(env, retired.into(), version).await?;
    for facts in env.compute.list(Some(&id.to_string())).await? {
        observe_task::observe(env, &facts).await?;
    }
    Ok(())
}

/// Unless somebody else has moved it on.
async fn put(env: &Env, warm: Warm, read: Version) -> Result<(), HandlerError> {
    Batch::default().write(Write::Warm(Box::new(warm), Expect::At(read))).put(env).await?;
    Ok(())
}
