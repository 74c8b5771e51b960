//! Runs a command that the transaction which accepted it has claimed, for the worker that gets this message.
//!
//! Safe to repeat: only one worker picks the job up. If the message is lost, the lease runs out, and the sweep calls
//! a worker that takes the job over.

use domain::{JobId, SessionId};

use crate::{Env, HandlerError, run_job};

pub(crate) async fn handle(env: &Env, session: SessionId, job: JobId) -> Result<(), HandlerError> {
    run_job::run_claimed(env, session, job).await
}
