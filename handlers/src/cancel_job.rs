//! Tells the runner to end a command whose cancellation is on record.
//!
//! Safe to repeat, and safe before the command starts: then the runner never runs it.

use domain::{JobId, job::Job, ports::ShellError, session::Session};

use crate::{Env, HandlerError, run_job};

pub(crate) async fn handle(env: &Env, id: JobId) -> Result<(), HandlerError> {
    let Some(read) = env.store.job(id).await? else { return Ok(()) };
    let Job::Running(job) = &read.value else { return Ok(()) };
    if !job.cancel_requested() {
        return Ok(());
    }
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else { return Ok(()) };
    ignore_gone(env.shell.cancel(ready.task(), id).await)?;
    run_job::visit_now(env, id).await
}

/// A shell that is gone runs no command any more: the end of its session ends the job.
pub(crate) fn ignore_gone(result: Result<(), ShellError>) -> Result<(), HandlerError> {
    match result {
        Ok(()) | Err(ShellError::Gone) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
