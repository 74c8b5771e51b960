//! Tasks that wait for an instance.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, place::Aws, user::SOON};

const NO_INSTANCES: &str = "Fargate refuses at once";

pub(super) const SCENARIOS: [Scenario; 3] = [
    Scenario::new("a session on an instance", |harness| Box::pin(one_session(harness)))
        .only_with_instances(NO_INSTANCES),
    Scenario::new("an instance that comes late", |harness| Box::pin(late_instance(harness)))
        .only_with_instances(NO_INSTANCES)
        .alone(),
    Scenario::new("no instance ever", |harness| Box::pin(no_instance(harness)))
        .only_with_instances(NO_INSTANCES)
        .alone(),
];

fn aws<'a>(harness: &Harness<'a>) -> Result<&'a Aws> {
    harness.place.as_aws().context("this is AWS's shape")
}

/// A session from start to stop, on demand and on Spot, has no price.
async fn one_session(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    for spot in [false, true] {
        let started = api.ready(&json!({"spot": spot})).await?;
        let said = api.output_of(&started.session, "echo $((6 * 7))").await?;
        ensure!(said == "42\n", "{said}");
        api.stop(&started.session).await?;
        let session = api.session(&started.session).await?;
        ensure!(session["reason"] == "user_stop" && session["costUsd"].is_null(), "{session}");
    }
    let large = json!({"size": {"cpu": 2048, "memoryMiB": 4096}, "network": "egress"});
    let refused = api.post("/shell/start", &large).await?;
    ensure!(refused.status == 400, "a shell that fits on no instance: {}", refused.body);
    Ok(())
}

/// The second session waits until the first one gives its instance back.
async fn late_instance(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    aws.set_instances(1, 0).await?;
    let first = api.ready(&json!({})).await?;
    let second = api.start(&json!({})).await?;
    // The sweep looks at the second task while it waits.
    harness.swept(api.output_of(&first.session, "sleep 5; echo slept")).await?;
    let waiting = api.session(&second.session).await?;
    ensure!(waiting["status"] == "starting", "{waiting}");
    api.stop(&first.session).await?;
    let start = api.finished(&second.job, SOON).await?;
    ensure!(start["status"] == "completed", "{start}");
    api.stop(&second.session).await?;
    Ok(())
}

/// A session for which no instance comes ends in time, with the reason, and leaves no task.
async fn no_instance(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    aws.set_instances(0, 0).await?;
    let started = api.start(&json!({})).await?;
    let waiting = api.execute(&started.session, "echo never").await?;
    let session = harness.ended(&api, &started.session, SOON * 2).await?;
    ensure!(session["reason"] == "capacity_unavailable", "{session}");
    let note = session["note"].as_str().unwrap_or_default();
    ensure!(note.ends_with("s for a place to run"), "{session}");
    let command = api.finished(&waiting, SOON).await?;
    ensure!(command["error"]["code"] == "capacity_unavailable", "{command}");
    ensure!(aws.tasks_of(&started.session).await?.is_empty(), "its task still waits");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}
