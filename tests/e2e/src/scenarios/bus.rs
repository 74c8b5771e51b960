//! The bus of a deployment on AWS, as a user of it sees it: by a rule with a queue as its target.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use crate::{harness::Harness, place::Aws, user::SOON, wait::until};

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("events on the bus", |harness| Box::pin(events(harness))).only_on_aws(
        "a local server publishes to a file or an endpoint, which its own tests show",
    )];

const TYPES: [&str; 3] = ["session.ready", "job.completed", "session.stopped"];

/// A rule for the commands and shells of one user gets each of their events, with the data of a webhook.
async fn events(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) =
        (harness.user().await?, harness.place.as_aws().context("this is AWS's shape")?);
    let queue = aws.rule_with_queue("e2e-bus", &json!({"detail-type": TYPES})).await?;
    let started = api.ready(&json!({"metadata": {"course": "algebra"}})).await?;
    let job = api.execute(&started.session, "exit 3").await?;
    api.finished(&job, SOON).await?;
    api.stop(&started.session).await?;

    let mut seen = Vec::new();
    let all = TYPES.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    until("all events to pass the bus", SOON, async || {
        seen.extend(of_session(aws, &queue, &started.session).await?);
        let types: BTreeSet<String> = seen.iter().filter_map(name).collect();
        Ok(if types == all { Ok(()) } else { Err(format!("only {types:?}")) })
    })
    .await?;
    let ended = seen.iter().find(|event| event["detail-type"] == "job.completed");
    let ended = ended.context("no end of a job")?;
    let detail = &ended["detail"];
    ensure!(ended["source"] == "ephemeral" && detail["jobId"] == job, "{ended}");
    ensure!(detail["data"]["exitCode"] == 3 && detail["eventId"].is_string(), "{ended}");
    let ready = seen.iter().find(|event| event["detail-type"] == "session.ready");
    ensure!(ready.context("not ready")?["detail"]["data"]["metadata"]["course"] == "algebra");
    Ok(())
}

fn name(event: &Value) -> Option<String> {
    event["detail-type"].as_str().map(str::to_owned)
}

/// The new events of this session in the queue.
async fn of_session(aws: &Aws, queue: &str, session: &str) -> Result<Vec<Value>> {
    let mut events = aws.receive(queue).await?;
    events.retain(|event| event["detail"]["sessionId"] == session);
    Ok(events)
}
