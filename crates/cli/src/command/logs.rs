//! `logs JOB [-f]`

use super::Context;
use crate::{args::Logs, failure::Failure, follow::Follower};

pub(super) async fn logs(context: &Context, args: Logs) -> Result<(), Failure> {
    let client = context.client()?;
    if context.screen.json {
        let wait = if args.follow { 20 } else { 0 };
        let job = client.get(&format!("/jobs/{}?waitSeconds={wait}", args.job)).await?;
        return context.screen.line(&job.to_string());
    }
    let mut follower = Follower::new(&client, context.screen, &args.job);
    if args.follow { follower.until_end().await.map(drop) } else { follower.pages().await }
}
