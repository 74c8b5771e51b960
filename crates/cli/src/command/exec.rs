//! `exec ID -- CMD`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Context, body};
use crate::{
    args::Exec,
    client::{Client, read},
    failure::{Exit, Failure},
    follow::Follower,
    interrupt::Interrupt,
    view::{Accepted, Job},
};

pub(super) async fn exec(context: &Context, args: Exec) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let client = context.client()?;
    let mut request = body::how(args.how)?;
    request.insert("sessionId".into(), args.id.into());
    body::set(&mut request, "env", body::pairs(args.env));
    body::set(&mut request, "concurrency", args.parallel.then_some("parallel"));
    let answer = client.post("/shell/execute", &request.into()).await?;
    let accepted: Accepted = read(&answer)?;
    if args.detach {
        context.screen.result(&answer, &accepted.job_id)?;
        return Ok(ExitCode::SUCCESS);
    }
    let watched = watch(context, &client, &accepted.job_id, &mut interrupt).await?;
    report(context, &watched)
}

/// A job that has ended.
pub(super) struct Watched {
    pub(super) job: Value,
    /// The exit code of the signal that made us cancel it.
    interrupted: Option<u8>,
}

impl Watched {
    /// The exit code that stands for how it came out.
    pub(super) fn exit(&self) -> Result<u8, Failure> {
        let view: Job = read(&self.job)?;
        Ok(self.interrupted.unwrap_or_else(|| view.exit()))
    }
}

/// Prints a job's output to its end; cancels it when we are interrupted, and waits for that.
pub(super) async fn watch(
    context: &Context,
    client: &Client,
    job: &str,
    interrupt: &mut Interrupt,
) -> Result<Watched, Failure> {
    let mut follower = Follower::new(client, context.screen, job);
    let shown = async {
        if context.screen.json { quietly(client, job).await } else { follower.until_end().await }
    };
    let code = tokio::select! {
        job = shown => return Ok(Watched { job: job?, interrupted: None }),
        code = interrupt.came() => code,
    };
    context.screen.note("cancelling");
    // A job that ended just now is what we want, too.
    match client.post(&format!("/jobs/{job}/cancel"), &json!({})).await {
        Err(failure) if failure.exit() != Exit::Other => return Err(failure),
        Ok(_) | Err(_) => {}
    }
    Ok(Watched { job: quietly(client, job).await?, interrupted: Some(code) })
}

/// Tells how a job came out, and gives the exit code that stands for it.
pub(super) fn report(context: &Context, watched: &Watched) -> Result<ExitCode, Failure> {
    let view: Job = read(&watched.job)?;
    if context.screen.json {
        context.screen.line(&watched.job.to_string())?;
    } else if let Some(remark) = view.remark() {
        context.screen.tell(&format!("ephemeral: {remark}"));
    }
    watched.exit().map(ExitCode::from)
}

async fn quietly(client: &Client, job: &str) -> Result<Value, Failure> {
    loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        if read::<Job>(&value)?.is_over() {
            return Ok(value);
        }
    }
}
