//! The calls that one plain session costs (figure P9).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use crate::{harness::Harness, user::SOON};

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("calls of a plain session", |harness| Box::pin(calls(harness)))
        .only_on_aws("the local server calls no service")
        .only_without_faults()];

const EXECUTES: u64 = 20;
/// The target for state transitions.
const MOST_TRANSITIONS: usize = 9;

/// One start, 20 executes, one stop; the counts go to `target/e2e/calls.json`, or `calls-link.json`.
async fn calls(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) =
        (harness.user().await?, harness.place.as_aws().context("this is AWS's shape")?);
    let (counts, runs) = (aws.counts(), aws.invocations().await?);
    let started = api.ready(&json!({})).await?;
    for number in 0..EXECUTES {
        let job = api.execute(&started.session, &format!("echo {number}")).await?;
        let end = api.finished(&job, SOON).await?;
        ensure!(end["exitCode"] == 0, "{end}");
    }
    api.stop(&started.session).await?;
    let history = aws.history(&started.session).await?;
    let transitions = history.iter().filter(|kind| kind.ends_with("StateEntered")).count();
    let mut services = BTreeMap::new();
    for (service, operations) in aws.counts() {
        let before = counts.get(&service).cloned().unwrap_or_default();
        services.insert(service, difference(&operations, &before));
    }
    let invocations = difference(&aws.invocations().await?, &runs);
    let found = json!({
        "session": {"starts": 1, "executes": EXECUTES, "stops": 1},
        "calls": services,
        "transitions": transitions,
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
