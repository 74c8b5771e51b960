//! A job in the foreground: prints its output, passes on Ctrl-C, cancels it when this program has to end,
//! and turns its outcome into an exit code.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Context;
use crate::{
    client::{Client, read},
    error::{CliError, Exit},
    follow::Follower,
    interrupt::{EndSignal, Interrupt},
    terminal::Terminal,
    view::{Job, SharedShell},
};

/// A job that has ended.
pub(super) struct FinishedJob {
    pub(super) job: Value,
    /// The signal that made us cancel the job.
    pub(super) cancelled_by: Option<EndSignal>,
}

/// The last request that we sent to end the job.
#[derive(PartialEq, Eq)]
enum Ending {
    None,
    Interrupted,
    Cancelled,
}

struct Foreground<'a> {
    client: &'a Client,
    terminal: Terminal,
    job: &'a str,
    ending: Ending,
    cancelled_by: Option<EndSignal>,
    /// The error of our own output. After it, nothing more is printed.
    output_error: Option<CliError>,
}

/// Prints the output of a job until it is final.
///
/// Ctrl-C sends SIGINT to the command, and a second one cancels the job, as do the other signals and
/// output that can't be written. The end of the job is waited for in all cases.
pub(super) async fn follow(
    context: &Context,
    client: &Client,
    job: &str,
    interrupt: &mut Interrupt,
) -> Result<FinishedJob, CliError> {
    let foreground = Foreground {
        client,
        terminal: context.terminal,
        job,
        ending: Ending::None,
        cancelled_by: None,
        output_error: None,
    };
    foreground.run(interrupt).await.map_err(|error| error.while_following(job))
}

/// Prints the outcome of a job and returns the exit code for it.
pub(super) fn report(context: &Context, finished: &FinishedJob) -> Result<ExitCode, CliError> {
    let view: Job = read(&finished.job)?;
    if context.terminal.json {
        let printed = context.terminal.json(&finished.job);
        // After a hangup there is no terminal, which does not change the exit code.
        if finished.cancelled_by.is_none() {
            printed.map_err(|error| error.while_following(&view.job_id))?;
        }
    } else {
        let mut remarks = view.cuts();
        remarks.extend(view.remark());
        remarks.extend(view.shell.as_ref().and_then(SharedShell::remark));
        print_remarks(context, &remarks);
    }
    finished.exit().map(ExitCode::from)
}

/// Prints remarks about a job on standard error.
pub(super) fn print_remarks(context: &Context, remarks: &[String]) {
    for remark in remarks {
        context.terminal.message(&format!("ephemeral: {remark}"));
    }
}

/// Waits until a job is final, and returns the job.
pub(super) async fn wait_for_end(client: &Client, job: &str) -> Result<Value, CliError> {
    loop {
        let value = client.get(&format!("/jobs/{job}?waitSeconds=20")).await?;
        if read::<Job>(&value)?.is_final() {
            return Ok(value);
        }
    }
}

impl FinishedJob {
    /// A job that has ended by itself.
    pub(super) fn new(job: Value) -> Self {
        Self { job, cancelled_by: None }
    }

    /// The exit code for the outcome.
    pub(super) fn exit(&self) -> Result<u8, CliError> {
        let view: Job = read(&self.job)?;
        Ok(self.cancelled_by.map_or_else(|| view.exit(), EndSignal::exit))
    }
}

impl Foreground<'_> {
    async fn run(mut self, interrupt: &mut Interrupt) -> Result<FinishedJob, CliError> {
        let mut follower = Follower::new(self.client, self.terminal, self.job);
        let job = loop {
            let ended = tokio::select! {
                ended = self.end(&mut follower) => ended,
                signal = interrupt.received(), if self.ending != Ending::Cancelled => {
                    self.react(signal).await?;
                    continue;
                }
            };
            match ended {
                Err(error) if error.is_output() => {
                    self.output_error = Some(error);
                    if self.ending != Ending::Cancelled {
                        self.cancel().await?;
                    }
                }
                ended => break ended?,
            }
        };
        match (self.cancelled_by, self.output_error) {
            (None, Some(error)) => Err(error),
            (cancelled_by, _) => Ok(FinishedJob { job, cancelled_by }),
        }
    }

    async fn end(&self, follower: &mut Follower<'_>) -> Result<Value, CliError> {
        if self.terminal.json || self.output_error.is_some() {
            wait_for_end(self.client, self.job).await
        } else {
            follower.until_end().await
        }
    }

    async fn react(&mut self, signal: EndSignal) -> Result<(), CliError> {
        if signal == EndSignal::Interrupt && self.ending == Ending::None {
            let path = format!("/jobs/{}/signal", self.job);
            // A job that is not running can't receive a signal; it is cancelled instead.
            if self.client.post(&path, &json!({"signal": "INT"})).await.is_ok() {
                self.ending = Ending::Interrupted;
                self.terminal.note("sent SIGINT to the command; press Ctrl-C again to cancel it");
                return Ok(());
            }
        }
        self.cancelled_by = Some(signal);
        self.cancel().await
    }

    async fn cancel(&mut self) -> Result<(), CliError> {
        self.ending = Ending::Cancelled;
        self.terminal.note("cancelling");
        let path = format!("/jobs/{}/cancel", self.job);
        match self.client.post_idempotent(&path, &json!({})).await {
            Err(error) if error.is_transient() || error.exit() != Exit::Other => Err(error),
            // The job may have ended meanwhile, which is no error.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
