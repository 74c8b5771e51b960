//! What `make destroy` does before it deletes the stack.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON};

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("drain of the deployment", |harness| Box::pin(drained(harness)))
        .only_on_aws("one machine is stopped with its server")
        .only_without_faults()];

/// Live sessions are ended, nothing more starts, and an interrupted deletion can be taken back.
async fn drained(harness: &Harness<'_>) -> Result<()> {
    let (api, stranger) = (harness.user().await?, harness.stranger().await?);
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let busy = api.ready(&json!({})).await?;
    let job = api.execute(&busy.session, "sleep 500").await?;
    api.job_is(&job, "running", SOON).await?;
    let idle = stranger.ready(&json!({})).await?;
    let said = aws.operate("drain").await?;
    ensure!(said.contains("ended 2 executions"), "{said}");
    for session in [&busy.session, &idle.session] {
        ensure!(aws.tasks_of(session).await?.is_empty(), "{session} still has a task");
    }
    let refused = api.get("/sessions").await;
    let served = refused.is_ok_and(|response| response.status < 300);
    ensure!(!served, "the API still serves requests");
    let said = aws.operate("resume").await?;
    ensure!(said.contains("functions run again"), "{said}");
    for (user, session) in [(&api, &busy.session), (&stranger, &idle.session)] {
        harness.ended(user, session, SOON * 2).await?;
        ensure!(user.active().await? == 0, "the slot is not free");
    }
    let said = aws.operate("resume").await?;
    ensure!(said.is_empty(), "nothing was stopped: {said}");
    Ok(())
}
