//! `start`: starts a shell and prints its id.

use serde_json::{Value, json};

use super::{Context, body};
use crate::{
    args::Start,
    client::{Client, read},
    error::CliError,
    terminal::Spinner,
    view::{Accepted, Job},
};

pub(super) async fn start(context: &Context, args: Start) -> Result<(), CliError> {
    let client = context.client()?;
    let mut request = body::start(args.shell);
    body::set(&mut request, "idleTimeoutSeconds", args.idle.map(|idle| idle.0));
    body::set(&mut request, "metadata", body::pairs(args.metadata));
    body::set(&mut request, "webhook", args.webhook.map(|url| json!({"url": url})));
    body::set(&mut request, "files", body::files(&args.files.files)?);
    body::set(&mut request, "admission", args.queue.then_some("queue"));
    let response = client.post("/shell/start", &request.into()).await?;
    let accepted: Accepted = read(&response)?;
    if let Some(secret) = &accepted.webhook_secret
        && !context.terminal.json
    {
        context.terminal.message(&format!("webhook secret, printed only once: {secret}"));
    }
    if !args.no_wait {
        let spinner = context.terminal.spinner("starting");
        let job = wait_until_final(&client, &accepted.job_id, &spinner).await?;
        drop(spinner);
        require_completed(&job, "the shell did not start")?;
    }
    context.terminal.result(&response, &accepted.session_id)
}

/// Waits until a job is final, showing its status.
pub(super) async fn wait_until_final(
    client: &Client,
    job: &str,
    spinner: &Spinner,
) -> Result<Value, CliError> {
    loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        let view: Job = read(&value)?;
        if view.is_final() {
            return Ok(value);
        }
        spinner.set_message(view.status);
    }
}

/// An error that begins with `message`, unless the job completed.
pub(super) fn require_completed(job: &Value, message: &str) -> Result<(), CliError> {
    let view: Job = read(job)?;
    match view.status.as_str() {
        "completed" => Ok(()),
        status => {
            let remark = view.remark().unwrap_or_else(|| status.to_owned());
            Err(CliError::other(format!("{message}: {remark}"))
                .hint(format!("see `ephemeral events {}` for what happened", view.session_id)))
        }
    }
}
