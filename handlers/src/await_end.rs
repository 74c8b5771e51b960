//! Waits for a reason to end a ready session. The timeout of the state is a deadline of the session;
//! if that deadline has become earlier, the token is answered at once, and the execution waits again.
//!
//! Safe to repeat: with a new task token, the last waiter stays.

use std::time::Duration;

use domain::session::Waits;

use crate::{
    Env, HandlerError,
    waiter::{self, Wait, WaitInput},
};

const WAIT: Wait = Wait {
    waits: Waits::End,
    timeout: Duration::ZERO,
    // So often the sweep checks that the task of a ready session still exists.
    recheck_after: Duration::from_mins(1),
};

pub(crate) async fn handle(env: &Env, input: WaitInput) -> Result<(), HandlerError> {
    waiter::wait(env, input, WAIT).await
}
