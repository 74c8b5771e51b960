//! Ends of sessions that no user requested.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON, wait::until};

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario::new("task killed from outside", |harness| Box::pin(killed(harness))),
    Scenario::new("spot interruption", |harness| Box::pin(spot(harness)))
        .only_on_aws("one machine has no Spot capacity"),
    Scenario::new("execution aborted", |harness| Box::pin(aborted(harness)))
        .only_on_aws("one machine's executions are its own"),
    Scenario::new("worker killed in a command", |harness| Box::pin(worker_killed(harness))).alone(),
    Scenario::new("worker killed in a shared shell", |harness| {
        Box::pin(worker_killed_in_shell(harness))
    })
    .alone(),
];

/// The task is killed: the session fails with that reason, and its command is lost.
async fn killed(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let job = api.execute(&started.session, "echo begun; sleep 7531").await?;
    api.job_is(&job, "running", SOON).await?;
    until("output of the command", SOON, async || {
        let job = api.get(&format!("/jobs/{job}")).await?.body;
        Ok(if job["stdout"]["bytes"] == 6 { Ok(()) } else { Err(job.to_string()) })
    })
    .await?;
    harness.place.kill_task(&started.session, "7531").await?;
    let session = harness.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "task_exited", "{session}");
    let job = api.finished(&job, SOON).await?;
    ensure!(job["status"] == "lost", "{job}");
    ensure!(job["stdout"]["text"] == "begun\n", "the output is not kept: {job}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// The capacity is taken back: the session ends with that reason.
async fn spot(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let started = api.ready(&json!({"spot": true})).await?;
    let job = api.execute(&started.session, "sleep 500").await?;
    api.job_is(&job, "running", SOON).await?;
    aws.interrupt(&started.session).await?;
    let session = harness.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "spot_interruption", "{session}");
    let job = api.finished(&job, SOON).await?;
    ensure!(job["status"] != "completed", "{job}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// The execution is aborted, which no state can catch: an EventBridge rule closes the session.
async fn aborted(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let started = api.ready(&json!({})).await?;
    let job = api.execute(&started.session, "sleep 500").await?;
    api.job_is(&job, "running", SOON).await?;
    aws.abort(&started.session).await?;
    let session = harness.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "internal", "{session}");
    let job = api.finished(&job, SOON).await?;
    ensure!(job["status"] != "completed", "{job}");
    harness
        .swept(until("the task to end", SOON, async || {
            let tasks = aws.tasks_of(&started.session).await?;
            Ok(if tasks.is_empty() { Ok(()) } else { Err(format!("{tasks:?}")) })
        }))
        .await?;
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// The next worker continues at the end of the stored output; the command runs once.
async fn worker_killed(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line =
        "echo ran >> count; for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done; wc -l < count";
    let job = api.execute(&started.session, line).await?;
    until("output of the command", SOON, async || {
        let job = api.get(&format!("/jobs/{job}")).await?.body;
        let bytes = job["stdout"]["bytes"].as_u64().unwrap_or(0);
        Ok(if bytes >= 4 { Ok(()) } else { Err(job.to_string()) })
    })
    .await?;
    harness.place.kill_workers().await?;
    // The lease of the dead worker expires after 30 s.
    let end = harness.swept(api.finished(&job, SOON * 2)).await?;
    ensure!(end["status"] == "completed" && end["exitCode"] == 0, "{end}");
    let stdout = api.stream(&job, "stdout", 65536).await?;
    let expected = "1\n2\n3\n4\n5\n6\n7\n8\n1\n";
    ensure!(stdout == expected.as_bytes(), "stdout was {:?}", String::from_utf8_lossy(&stdout));
    let count = api.output_of(&started.session, "wc -l < count").await?;
    ensure!(count.trim() == "1", "it ran {count} times");
    api.stop(&started.session).await?;
    Ok(())
}

/// A shared shell and the command in it outlive the worker that follows the command.
async fn worker_killed_in_shell(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let run = async |line: &str| {
        let body = json!({"command": line, "state": "shared"});
        api.execute_with(&started.session, &body).await
    };
    api.finished(&run("n=1; cd /tmp").await?, SOON).await?;
    let job = run("n=$((n + 1)); for i in 1 2 3 4 5 6; do echo $i; sleep 1; done").await?;
    until("output of the command", SOON, async || {
        let job = api.get(&format!("/jobs/{job}")).await?.body;
        let bytes = job["stdout"]["bytes"].as_u64().unwrap_or(0);
        Ok(if bytes >= 2 { Ok(()) } else { Err(job.to_string()) })
    })
    .await?;
    harness.place.kill_workers().await?;
    let end = harness.swept(api.finished(&job, SOON * 2)).await?;
    let shell = json!({"name": "default", "isNew": false, "hasEnded": false});
    ensure!(end["exitCode"] == 0 && end["shell"] == shell, "{end}");
    ensure!(end["stdout"]["text"] == "1\n2\n3\n4\n5\n6\n", "{end}");
    let next = api.finished(&run("echo $n; pwd").await?, SOON).await?;
    ensure!(next["stdout"]["text"] == "2\n/tmp\n" && next["shell"] == shell, "{next}");
    api.stop(&started.session).await?;
    Ok(())
}
