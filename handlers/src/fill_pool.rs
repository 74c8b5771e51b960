//! Keeps as many warm tasks as the policy wants, ahead of the sessions.
//!
//! Safe to repeat: each warm task is on record before it is requested, and its id is the token of the
//! request. Two calls at once may start one task too many; the next call retires the surplus.

use std::time::Duration;

use domain::{
    WarmId,
    ports::{Expect, RunError, RunTask, Write},
    warm::{Kind, Warm},
};

use crate::{Env, HandlerError, warm_task};

/// How long a warm task may take until its runner answers.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);

/// How long after its maximum age a warm task may take until it is stopped.
const RETIRE_WITHIN: Duration = Duration::from_mins(10);

pub(crate) async fn handle(env: &Env) -> Result<(), HandlerError> {
    for (kind, wanted) in &env.policy.warm {
        let have = env.store.warm_of(kind).await?;
        let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX);
        for surplus in have.iter().skip(wanted) {
            warm_task::retire(env, surplus.value.id()).await?;
        }
        for _ in have.len()..wanted {
            if !start(env, kind).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Starts one warm task. Returns false if the provider has no capacity for it now.
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
        lifetime: ANSWER_WITHIN + env.policy.warm_max_age + RETIRE_WITHIN,
    };
    match env.compute.run(&request).await {
        Ok(_) => Ok(true),
        Err(RunError::Capacity(_) | RunError::Throttled | RunError::Refused(_)) => {
            warm_task::retire(env, id).await?;
            Ok(false)
        }
        // The task may run all the same: its event will say so, or its record will become due.
        Err(error @ RunError::Backend(_)) => Err(error.into()),
    }
}
