//! `logs JOB [-f]`: prints the output of a job.

use super::{Context, foreground};
use crate::{args::Logs, client::read, error::CliError, follow::Follower, view::Job};

pub(super) async fn logs(context: &Context, args: Logs) -> Result<(), CliError> {
    let client = context.client()?;
    let Logs { job, follow } = args;
    if context.terminal.json {
        let value = if follow {
            let ended = foreground::wait_for_end(&client, &job).await;
            ended.map_err(|error| error.while_following(&job))
        } else {
            client.get(&format!("/jobs/{job}")).await
        };
        return context.terminal.json(&value?);
    }
    let mut follower = Follower::new(&client, context.terminal, &job);
    let cuts = if follow {
        read::<Job>(&follower.until_end().await.map_err(|error| error.while_following(&job))?)?
            .cuts()
    } else {
        follower.pages().await.map_err(|error| error.while_following(&job))?;
        follower.cuts()
    };
    foreground::print_remarks(context, &cuts);
    Ok(())
}
