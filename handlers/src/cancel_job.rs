//! Tells the runner to end a command whose cancellation is on record. Safe to repeat, and safe when
//! it comes before the command's start: the runner then never runs it.

use domain::{JobId, job::Job, ports::ShellError, session::Session};

use crate::{Env, HandlerError};

pub(crate) async fn handle(env: &Env, id: JobId) -> Result<(), HandlerError> {
    let Some(read) = env.store.job(id).await? else { return Ok(()) };
    let Job::Running(job) = &read.value else { return Ok(()) };
    if !job.cancel_requested() {
        return Ok(());
    }
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else {
        return Ok(());
    };
    reached(env.shell.cancel(ready.task(), id).await)
}

/// A shell that is gone needs no more telling; its session's end ends the job.
pub(crate) fn reached(answer: Result<(), ShellError>) -> Result<(), HandlerError> {
    match answer {
        Ok(()) | Err(ShellError::Gone) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
