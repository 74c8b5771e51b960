//! `cancel JOB`

use serde_json::json;

use super::Context;
use crate::{client::read, failure::Failure, view::Job};

pub(super) async fn cancel(context: &Context, job: &str) -> Result<(), Failure> {
    let client = context.client()?;
    client.post(&format!("/jobs/{job}/cancel"), &json!({})).await?;
    let spinner = context.screen.spinner("cancelling");
    let value = loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        if read::<Job>(&value)?.is_over() {
            break value;
        }
    };
    drop(spinner);
    let view: Job = read(&value)?;
    context.screen.result(&value, &format!("{} {}", view.job_id, view.status))
}
