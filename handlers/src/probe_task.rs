//! Probes a running task's runner again. Safe to repeat: it is the same look as at a task's event.

use domain::task::TaskFacts;

use crate::{Env, HandlerError, observe_task};

pub(crate) async fn handle(env: &Env, facts: TaskFacts) -> Result<(), HandlerError> {
    // The facts are old by now; what the provider says today counts.
    let today = env.compute.describe(std::slice::from_ref(&facts.task)).await?;
    for facts in &today {
        observe_task::observe(env, facts).await?;
    }
    Ok(())
}
