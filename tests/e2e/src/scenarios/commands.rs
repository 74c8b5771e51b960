//! Commands.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON};

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario::new("cancel", |harness| Box::pin(cancel(harness))),
    Scenario::new("timeout", |harness| Box::pin(timeout(harness))),
    Scenario::new("order and turns", |harness| Box::pin(order(harness))),
    Scenario::new("big output", |harness| Box::pin(big_output(harness))),
    Scenario::new("idempotency", |harness| Box::pin(idempotency(harness))),
];

/// Cancels a running command, and a queued one behind it.
async fn cancel(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let running = api.execute(&started.session, "echo begun; sleep 500").await?;
    let waiting = api.execute(&started.session, "echo never").await?;
    api.job_is(&running, "running", SOON).await?;
    let began = Instant::now();
    for job in [&waiting, &running] {
        api.post(&format!("/jobs/{job}/cancel"), &json!({})).await?.expect(202)?;
        let end = api.finished(job, SOON).await?;
        ensure!(end["status"] == "cancelled", "{end}");
    }
    ensure!(began.elapsed() < Duration::from_secs(30), "a cancelled command went on");
    let left = api.output_of(&started.session, "pgrep -c sleep || true").await?;
    ensure!(left.trim() == "0", "{left} processes of a cancelled command are left");
    api.stop(&started.session).await?;
    Ok(())
}

/// A timeout ends a command and all its children.
async fn timeout(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let body = json!({"command": "echo begun; sleep 500 & sleep 501", "timeoutSeconds": 2});
    let job = api.execute_with(&started.session, &body).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["status"] == "timed_out", "{end}");
    ensure!(end["stdout"]["text"] == "begun\n", "the output before the timeout is not kept: {end}");
    let left = api.output_of(&started.session, "pgrep -c sleep || true").await?;
    ensure!(left.trim() == "0", "{left} children are left");
    api.stop(&started.session).await?;
    Ok(())
}

/// Serial commands run in order of arrival; a parallel one runs beside them.
async fn order(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.start(&json!({})).await?;
    let session = &started.session;
    let mut jobs = Vec::new();
    for number in 0..5 {
        jobs.push(api.execute(session, &format!("sleep 0.2; echo {number} >> order")).await?);
    }
    for job in &jobs {
        api.finished(job, SOON).await?;
    }
    let order = api.output_of(session, "tr -d '\\n' < order").await?;
    ensure!(order == "01234", "they ran as {order}");
    let blocked = api.execute(session, "sleep 500").await?;
    api.job_is(&blocked, "running", SOON).await?;
    let beside = json!({"command": "echo beside", "concurrency": "parallel"});
    let beside = api.execute_with(session, &beside).await?;
    let end = api.finished(&beside, SOON).await?;
    ensure!(end["stdout"]["text"] == "beside\n", "{end}");
    api.stop(session).await?;
    Ok(())
}

/// More output than is kept, and bytes that are not UTF-8.
async fn big_output(harness: &Harness<'_>) -> Result<()> {
    const KEPT: usize = 3 << 20;
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line = "i=0; head -c 4000000 /dev/zero | tr '\\0' x; printf end >&2";
    let body = json!({"command": line, "maxOutputBytes": KEPT});
    let job = api.execute_with(&started.session, &body).await?;
    let end = api.finished(&job, Duration::from_secs(120)).await?;
    ensure!(end["exitCode"] == 0, "it did not end well");
    let stdout = &end["stdout"];
    ensure!(stdout["bytes"] == 4_000_000 && stdout["truncated"] == true, "counted wrongly");
    let kept = api.stream(&job, "stdout", 1 << 20).await?;
    ensure!(kept.len() == KEPT && kept.iter().all(|byte| *byte == b'x'), "kept {}", kept.len());
    let every = "python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 64)'";
    let job = api.execute(&started.session, every).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["encoding"] == "base64", "{end}");
    let bytes = api.stream(&job, "stdout", 1000).await?;
    let expected: Vec<u8> = (0..=255).cycle().take(256 * 64).collect();
    ensure!(bytes == expected, "the bytes changed on their way");
    api.stop(&started.session).await?;
    Ok(())
}

/// A repeated request gets the same response; a different one with the same key is refused.
async fn idempotency(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let body = json!({"ttlSeconds": 300});
    let first = api.post_with_key("/shell/start", "start-1", &body).await?.expect(202)?;
    let again = api.post_with_key("/shell/start", "start-1", &body).await?.expect(202)?;
    ensure!(first.body == again.body, "another response to the same request");
    ensure!(
        again.header("idempotent-replayed") == "true",
        "the replayed response has no header for it"
    );
    ensure!(first.header("idempotent-replayed").is_empty(), "the first is no replay");
    let other = api.post_with_key("/shell/start", "start-1", &json!({"ttlSeconds": 301})).await?;
    other.problem(422, "idempotency_mismatch")?;
    ensure!(api.active().await? == 1, "it was started twice");
    let session = first.body["sessionId"].as_str().context("an id")?;
    let append = json!({"sessionId": session, "command": "echo once >> ran; cat ran"});
    let sends = (0..8).map(|_| api.post_with_key("/shell/execute", "execute-1", &append));
    let mut jobs = Vec::new();
    for answer in futures::future::join_all(sends).await {
        // 409: another request with this key is in progress.
        let answer = answer?;
        if answer.status != 409 {
            jobs.push(answer.expect(202)?.body["jobId"].as_str().context("an id")?.to_owned());
        }
    }
    ensure!(!jobs.is_empty() && jobs.iter().all(|job| *job == jobs[0]), "several jobs: {jobs:?}");
    let end = api.finished(&jobs[0], SOON).await?;
    ensure!(end["stdout"]["text"] == "once\n", "{end}");
    api.stop(session).await?;
    Ok(())
}
