//! The calls that one plain session costs (figure P9).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use client::text;
use serde_json::{Value, json};

use super::Scenario;
use crate::harness::Harness;

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("calls of a plain session", |harness| Box::pin(calls(harness)))
        .only_on_aws("the local server calls no service")
        .only_without_faults()];

const EXECUTES: u64 = 20;
/// The target for state transitions.
const MOST_TRANSITIONS: usize = 4;

/// One start, 20 executes, one stop; the counts go to `target/e2e/calls.json`, or `calls-link.json`.
async fn calls(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) =
        (harness.user().await?, harness.place.as_aws().context("this is AWS's shape")?);
    let (counts, runs, units) = (aws.counts(), aws.invocations().await?, aws.units());
    let start = api.post("/shell/start?waitSeconds=25", &json!({})).await?.expect(200)?.body;
    let session = text(&start, "sessionId")?;
    for number in 0..EXECUTES {
        let body = json!({"sessionId": session, "command": format!("echo {number}")});
        let end = api.post("/shell/execute?waitSeconds=25", &body).await?.expect(200)?.body;
        ensure!(end["exitCode"] == 0, "{end}");
    }
    api.stop(&session).await?;
    let history = aws.history(&session).await?;
    let transitions = history.iter().filter(|kind| kind.ends_with("StateEntered")).count();
    let mut services = BTreeMap::new();
    for (service, operations) in aws.counts() {
        let before = counts.get(&service).cloned().unwrap_or_default();
        services.insert(service, difference(&operations, &before));
    }
    let now = aws.units();
    let units = json!({"written": now.written - units.written, "read": now.read - units.read});
    let mut invocations = BTreeMap::new();
    for (function, now) in aws.invocations().await? {
        let new = now.since(runs.get(&function).copied().unwrap_or_default());
        if new.count > 0 {
            invocations.insert(function, new.report());
        }
    }
    let found = json!({
        "session": {"starts": 1, "executes": EXECUTES, "stops": 1},
        "calls": services,
        "transitions": transitions,
        "tableUnits": units,
        "lambdaInvocations": invocations,
    });
    aws.report(if aws.has_links() { "calls-link" } else { "calls" }, &found)?;
    ensure!(transitions <= MOST_TRANSITIONS, "{transitions} transitions: {history:?}");
    Ok(())
}

fn difference(after: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> Value {
    let new = |(name, count): (&String, &u64)| {
        let new = count - before.get(name).copied().unwrap_or(0);
        (new > 0).then(|| (name.clone(), json!(new)))
    };
    Value::Object(after.iter().filter_map(new).collect())
}
