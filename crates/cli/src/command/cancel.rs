//! `cancel JOB`: cancels a job and waits for its end.

use serde_json::json;

use super::Context;
use crate::{client::read, error::CliError, view::Job};

pub(super) async fn cancel(context: &Context, job: &str) -> Result<(), CliError> {
    let client = context.client()?;
    client.post(&format!("/jobs/{job}/cancel"), &json!({})).await?;
    let spinner = context.terminal.spinner("cancelling");
    let value = loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        if read::<Job>(&value)?.is_final() {
            break value;
        }
    };
    drop(spinner);
    let view: Job = read(&value)?;
    context.terminal.result(&value, &format!("{} {}", view.job_id, view.status))
}
