//! `logs JOB [-f]`: prints the output of a job.

use super::Context;
use crate::{args::Logs, error::CliError, follow::Follower};

pub(super) async fn logs(context: &Context, args: Logs) -> Result<(), CliError> {
    let client = context.client()?;
    if context.terminal.json {
        let wait = if args.follow { 20 } else { 0 };
        let job = client.get(&format!("/jobs/{}?waitSeconds={wait}", args.job)).await?;
        return context.terminal.line(&job.to_string());
    }
    let mut follower = Follower::new(&client, context.terminal, &args.job);
    if args.follow { follower.until_end().await.map(drop) } else { follower.pages().await }
}
