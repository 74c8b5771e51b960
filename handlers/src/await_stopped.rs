//! Waits until the session's task is gone. Hangs up the token if the fact is not there yet; repeated
//! with a new token, the last one stays.

use std::time::Duration;

use domain::session::Waits;

use crate::{Env, HandlerError, transition};

/// The state's timeout in the state machine.
const LIMIT: Duration = Duration::from_mins(5);
/// A task's event may be lost; after this the sweep asks for the task itself.
const LOOK_AFTER: Duration = Duration::from_secs(15);

pub(crate) async fn handle(env: &Env, input: transition::Waiting) -> Result<(), HandlerError> {
    transition::wait(env, input, Waits::Stopped, LIMIT, LOOK_AFTER).await
}
