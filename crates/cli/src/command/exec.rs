//! `exec ID -- CMD`: runs a command in a shell and follows its output.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Context, body};
use crate::{
    args::Exec,
    client::{Client, read},
    error::{CliError, Exit},
    follow::Follower,
    interrupt::Interrupt,
    view::{Accepted, Job},
};

pub(super) async fn exec(context: &Context, args: Exec) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let client = context.client()?;
    let mut request = body::command(args.command)?;
    request.insert("sessionId".into(), args.id.into());
    body::set(&mut request, "env", body::pairs(args.env));
    body::set(&mut request, "concurrency", args.parallel.then_some("parallel"));
    let response = client.post("/shell/execute", &request.into()).await?;
    let accepted: Accepted = read(&response)?;
    if args.detach {
        context.terminal.result(&response, &accepted.job_id)?;
        return Ok(ExitCode::SUCCESS);
    }
    let finished = follow(context, &client, &accepted.job_id, &mut interrupt).await?;
    report(context, &finished)
}

/// A job that has ended.
pub(super) struct FinishedJob {
    pub(super) job: Value,
    /// The exit code for the signal that made us cancel the job.
    interrupted: Option<u8>,
}

impl FinishedJob {
    /// The exit code for the outcome.
    pub(super) fn exit(&self) -> Result<u8, CliError> {
        let view: Job = read(&self.job)?;
        Ok(self.interrupted.unwrap_or_else(|| view.exit()))
    }
}

/// Prints the output of a job until it is final. On a signal, cancels the job and waits for its end.
pub(super) async fn follow(
    context: &Context,
    client: &Client,
    job: &str,
    interrupt: &mut Interrupt,
) -> Result<FinishedJob, CliError> {
    let mut follower = Follower::new(client, context.terminal, job);
    let followed = async {
        if context.terminal.json {
            wait_for_end(client, job).await
        } else {
            follower.until_end().await
        }
    };
    let code = tokio::select! {
        job = followed => return Ok(FinishedJob { job: job?, interrupted: None }),
        code = interrupt.received() => code,
    };
    context.terminal.note("cancelling");
    // The job may have ended meanwhile, which is no error.
    match client.post(&format!("/jobs/{job}/cancel"), &json!({})).await {
        Err(error) if error.exit() != Exit::Other => return Err(error),
        Ok(_) | Err(_) => {}
    }
    Ok(FinishedJob { job: wait_for_end(client, job).await?, interrupted: Some(code) })
}

/// Prints the outcome of a job and returns the exit code for it.
pub(super) fn report(context: &Context, finished: &FinishedJob) -> Result<ExitCode, CliError> {
    let view: Job = read(&finished.job)?;
    if context.terminal.json {
        context.terminal.line(&finished.job.to_string())?;
    } else if let Some(remark) = view.remark() {
        context.terminal.message(&format!("ephemeral: {remark}"));
    }
    finished.exit().map(ExitCode::from)
}

async fn wait_for_end(client: &Client, job: &str) -> Result<Value, CliError> {
    loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        if read::<Job>(&value)?.is_final() {
            return Ok(value);
        }
    }
}
