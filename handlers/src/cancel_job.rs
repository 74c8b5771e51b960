//! Tells the runner to end a command whose cancellation is on record. Safe to repeat, and safe when
//! it comes before the command's start: the runner then never runs it.

use domain::{JobId, job::Job, ports::ShellError, session::Session};
use serde::Deserialize;
use serde_json::Value;

use crate::{Env, HandlerError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    job_id: JobId,
}

pub(crate) async fn handle(env: &Env, input: Input) -> Result<Value, HandlerError> {
    let Some(read) = env.store.job(input.job_id).await? else { return Ok(Value::Null) };
    let Job::Running(job) = &read.value else { return Ok(Value::Null) };
    if !job.cancel_requested() {
        return Ok(Value::Null);
    }
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else {
        return Ok(Value::Null);
    };
    reached(env.shell.cancel(ready.task(), input.job_id).await)
}

/// A shell that is gone needs no more telling; its session's end ends the job.
pub(crate) fn reached(answer: Result<(), ShellError>) -> Result<Value, HandlerError> {
    match answer {
        Ok(()) | Err(ShellError::Gone) => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}
