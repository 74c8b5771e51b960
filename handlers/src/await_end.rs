//! Waits for a reason to end a ready session. The execution's timer was set to a deadline; if that
//! has come nearer since, the token is answered at once and the timer set anew. Repeated with a new
//! token, the last one stays.

use std::time::Duration;

use domain::session::Waits;

use crate::{Env, HandlerError, transition};

/// How often the sweep asks whether a ready session's task is still there.
const LOOK_AFTER: Duration = Duration::from_mins(1);

pub(crate) async fn handle(env: &Env, input: transition::Waiting) -> Result<(), HandlerError> {
    transition::wait(env, input, Waits::End, Duration::ZERO, LOOK_AFTER).await
}
