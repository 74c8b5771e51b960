//! Sends a signal to a running command.
//!
//! A repeated call sends the signal again: a signal is sent at least once. A command that is over
//! gets none.

use domain::{JobId, job::Job, session::Session};

use crate::{Env, HandlerError, cancel_job, run_job};

pub(crate) async fn handle(env: &Env, id: JobId, signal: i32) -> Result<(), HandlerError> {
    let Some(read) = env.store.job(id).await? else { return Ok(()) };
    let Job::Running(job) = &read.value else { return Ok(()) };
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else { return Ok(()) };
    cancel_job::ignore_gone(env.shell.signal(ready.task(), id, signal).await)?;
    run_job::visit_now(env, id).await
}
