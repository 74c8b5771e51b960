//! `cancel JOB`: cancels a job and waits for its end.

use serde_json::json;

use super::{Context, foreground};
use crate::{client::read, error::CliError, view::Job};

pub(super) async fn cancel(context: &Context, job: &str) -> Result<(), CliError> {
    let client = context.client()?;
    client.post(&format!("/jobs/{job}/cancel"), &json!({})).await?;
    let spinner = context.terminal.spinner("cancelling");
    let value =
        foreground::wait_for_end(&client, job).await.map_err(|error| error.while_following(job))?;
    drop(spinner);
    let view: Job = read(&value)?;
    context.terminal.result(&value, &format!("{} {}", view.job_id, view.status))
}
