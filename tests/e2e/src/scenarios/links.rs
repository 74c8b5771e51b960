//! Connections that runners open by themselves, and that are lost.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{
    harness::Harness,
    user::{SOON, User},
    wait::until,
};

const NO_LINKS: &str = "no runner opens a connection";

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario::new("connections lost", |harness| Box::pin(connections_lost(harness)))
        .only_with_links(NO_LINKS),
    Scenario::new("requests lost with connections", |harness| Box::pin(requests_lost(harness)))
        .only_with_links(NO_LINKS),
];

/// Commands go on while connections are closed, run once, and lose no output; requests that come while there
/// is no connection are made good.
async fn connections_lost(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let started = api.ready(&json!({})).await?;
    let session = &started.session;
    let line = "echo ran >> count; for i in 1 2 3 4 5 6; do echo $i; sleep 1; done; wc -l < count";
    let long = api.execute(session, line).await?;
    has_output(&api, &long).await?;
    let mut at_once = Vec::new();
    for number in 0..3 {
        let connection = aws.connection(session).await?;
        aws.close_connection(&connection).await?;
        let body = json!({"command": format!("echo {number}"), "concurrency": "parallel"});
        at_once.push((number, api.execute_with(session, &body).await?));
        until("the runner to connect again", SOON, async || {
            let is_new = aws.connection(session).await.is_ok_and(|now| now != connection);
            Ok(if is_new { Ok(()) } else { Err("the connection is the earlier one".to_owned()) })
        })
        .await?;
    }
    let end = harness.swept(api.finished(&long, SOON * 2)).await?;
    ensure!(end["status"] == "completed", "{end}");
    let stdout = api.stream(&long, "stdout", 65536).await?;
    ensure!(stdout == b"1\n2\n3\n4\n5\n6\n1\n", "{:?}", String::from_utf8_lossy(&stdout));
    for (number, job) in at_once {
        let end = harness.swept(api.finished(&job, SOON * 2)).await?;
        ensure!(end["stdout"]["text"] == format!("{number}\n"), "{end}");
    }
    let sleeping = api.execute(session, "echo 1; sleep 500").await?;
    has_output(&api, &sleeping).await?;
    aws.close_connection(&aws.connection(session).await?).await?;
    api.post(&format!("/jobs/{sleeping}/cancel"), &json!({})).await?.expect(202)?;
    let end = harness.swept(api.finished(&sleeping, SOON * 2)).await?;
    ensure!(end["status"] == "cancelled", "{end}");
    api.stop(session).await?;
    Ok(())
}

/// A connection that is just being lost accepts what is posted to it. A signal and a cancellation reach the
/// command all the same, as soon as the runner has connected again.
async fn requests_lost(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let started = api.ready(&json!({})).await?;
    let session = &started.session;
    let line = "trap 'echo caught' USR1; echo ready; while :; do sleep 0.1; done";
    let job = api.execute(session, line).await?;
    has_output(&api, &job).await?;
    let lose = async |request: &str, body| {
        let connection = aws.connection(session).await?;
        aws.lose_posts(&connection);
        api.post(&format!("/jobs/{job}/{request}"), &body).await?.expect(202)?;
        until("a request to be lost", SOON, async || {
            let is_lost = aws.lost_posts(&connection) > 0;
            Ok(if is_lost { Ok(()) } else { Err("none was posted".to_owned()) })
        })
        .await?;
        aws.close_connection(&connection).await
    };
    lose("signal", json!({"signal": "USR1"})).await?;
    until("the signal to come", SOON, async || {
        let job = api.get(&format!("/jobs/{job}")).await?.body;
        let has_come = job["stdout"]["bytes"] == "ready\ncaught\n".len();
        Ok(if has_come { Ok(()) } else { Err(job.to_string()) })
    })
    .await?;
    lose("cancel", json!({})).await?;
    // The sweep, which would make it good too, does not run here.
    let end = api.finished(&job, SOON).await?;
    ensure!(end["status"] == "cancelled", "{end}");
    api.stop(session).await?;
    Ok(())
}

async fn has_output(api: &User, job: &str) -> Result<()> {
    until("output of the command", SOON, async || {
        let job = api.get(&format!("/jobs/{job}")).await?.body;
        let has_output = job["stdout"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0);
        Ok(if has_output { Ok(()) } else { Err(job.to_string()) })
    })
    .await
}
