//! Probes the runner of a task again.
//!
//! Safe to repeat: it records the facts of a task as an event of the task does.

use domain::task::TaskFacts;

use crate::{Env, HandlerError, observe_task};

pub(crate) async fn handle(env: &Env, facts: TaskFacts) -> Result<(), HandlerError> {
    // The message's facts are old by now. The provider knows the present ones.
    let current = env.compute.describe(std::slice::from_ref(&facts.task)).await?;
    for facts in &current {
        observe_task::observe(env, facts).await?;
    }
    Ok(())
}
