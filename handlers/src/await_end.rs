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

pub(crate) async fn handle(env: &Env, input: WaitInput) -> Result<(), HandlerError> {
    let recheck_after = env.policy.ready_recheck;
    waiter::wait(env, input, Wait { waits: Waits::End, timeout: Duration::ZERO, recheck_after })
        .await
}
