//! Sends a signal to a running command. A signal is sent at least once; a command that does not run
//! any more gets none.

use domain::{JobId, job::Job, session::Session};
use serde::Deserialize;
use serde_json::Value;

use crate::{Env, HandlerError, cancel_job};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    job_id: JobId,
    signal: i32,
}

pub(crate) async fn handle(env: &Env, input: Input) -> Result<Value, HandlerError> {
    let Some(read) = env.store.job(input.job_id).await? else { return Ok(Value::Null) };
    let Job::Running(job) = &read.value else { return Ok(Value::Null) };
    let session = env.store.session(job.common().session).await?;
    let Some(Session::Ready(ready)) = session.map(|read| read.value) else {
        return Ok(Value::Null);
    };
    cancel_job::reached(env.shell.signal(ready.task(), input.job_id, input.signal).await)
}
