//! Waits until the session's task has stopped.
//!
//! Safe to repeat: with a new task token, the last waiter stays.

use std::time::Duration;

use domain::session::Waits;

use crate::{
    Env, HandlerError,
    waiter::{self, Wait, WaitInput},
};

const WAIT: Wait = Wait {
    waits: Waits::Stopped,
    timeout: Duration::from_mins(5),
    // The event of the task may be lost; then the sweep asks the provider for the task.
    recheck_after: Duration::from_secs(15),
};

pub(crate) async fn handle(env: &Env, input: WaitInput) -> Result<(), HandlerError> {
    waiter::wait(env, input, WAIT).await
}
