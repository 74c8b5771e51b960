//! The quota of active sessions.

use anyhow::{Result, ensure};
use futures::future::join_all;
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON};

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario::new("quota race", |harness| Box::pin(race(harness))),
    Scenario::new("waiting in line", |harness| Box::pin(line(harness))),
];

const LIMIT: usize = 5;
const RACERS: usize = 50;

/// Of 50 concurrent starts, exactly as many as the limit are accepted.
async fn race(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let body = json!({"ttlSeconds": 600});
    let answers = join_all((0..RACERS).map(|_| api.post("/shell/start", &body))).await;
    let mut accepted = Vec::new();
    for answer in answers {
        let answer = answer?;
        if answer.status == 202 {
            accepted.extend(answer.body["sessionId"].as_str().map(str::to_owned));
            continue;
        }
        ensure!(!answer.header("retry-after").is_empty(), "no Retry-After");
        answer.problem(429, "quota_exceeded")?;
    }
    ensure!(accepted.len() == LIMIT, "{} were accepted", accepted.len());
    ensure!(api.active().await? == LIMIT as u64, "the count is wrong");
    let stops = join_all(accepted.iter().map(|session| api.ask_to_stop(session))).await;
    for stop in stops {
        api.finished(&stop?, SOON).await?;
    }
    ensure!(api.active().await? == 0, "the slots are not free");
    Ok(())
}

/// A waiting session gets the first slot that becomes free.
async fn line(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let mut sessions = Vec::new();
    for _ in 0..LIMIT {
        sessions.push(api.start(&json!({"ttlSeconds": 600})).await?.session);
    }
    let waiting = api.start(&json!({"admission": "queue"})).await?;
    let session = api.session(&waiting.session).await?;
    ensure!(session["status"] == "queued" && session["position"] == 1, "{session}");
    let job = api.execute(&waiting.session, "echo at last").await?;
    api.stop(&sessions[0]).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["text"] == "at last\n", "{end}");
    sessions.push(waiting.session);
    let stops = join_all(sessions.iter().map(|session| api.stop(session))).await;
    for stop in stops {
        stop?;
    }
    ensure!(api.active().await? == 0, "the slots are not free");
    Ok(())
}
