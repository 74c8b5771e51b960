//! `start`

use serde_json::{Value, json};

use super::{Context, body};
use crate::{
    args::Start,
    client::{Client, read},
    failure::Failure,
    screen::Spinner,
    view::{Accepted, Job},
};

pub(super) async fn start(context: &Context, args: Start) -> Result<(), Failure> {
    let client = context.client()?;
    let mut request = body::start(args.wish);
    body::set(&mut request, "idleTimeoutSeconds", args.idle.map(|span| span.0));
    body::set(&mut request, "metadata", body::pairs(args.metadata));
    body::set(&mut request, "webhook", args.webhook.map(|url| json!({"url": url})));
    body::set(&mut request, "admission", args.queue.then_some("queue"));
    let answer = client.post("/shell/start", &request.into()).await?;
    let accepted: Accepted = read(&answer)?;
    if let Some(secret) = &accepted.webhook_secret
        && !context.screen.json
    {
        context.screen.tell(&format!("webhook secret, shown once: {secret}"));
    }
    if !args.no_wait {
        let spinner = context.screen.spinner("starting");
        let job = ended(&client, &accepted.job_id, &spinner).await?;
        drop(spinner);
        completed(&job, "the shell did not start")?;
    }
    context.screen.result(&answer, &accepted.session_id)
}

/// Waits for a job's end, saying its status.
pub(super) async fn ended(client: &Client, job: &str, spinner: &Spinner) -> Result<Value, Failure> {
    loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        let view: Job = read(&value)?;
        if view.is_over() {
            return Ok(value);
        }
        spinner.say(view.status);
    }
}

/// Nothing, if the job completed.
pub(super) fn completed(job: &Value, otherwise: &str) -> Result<(), Failure> {
    let view: Job = read(job)?;
    match view.status.as_str() {
        "completed" => Ok(()),
        status => {
            let remark = view.remark().unwrap_or_else(|| status.to_owned());
            Err(Failure::other(format!("{otherwise}: {remark}"))
                .hint(format!("`ephemeral events {}` tells what happened", view.session_id)))
        }
    }
}
