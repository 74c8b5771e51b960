//! A session's whole life, and how its time is bounded.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use crate::{
    api::{Api, SOON},
    sink::{Call, Sink},
    stage::Stage,
    wait::until,
};

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario::new("a whole life", |stage| Box::pin(whole(stage))),
    Scenario::new("one shot", |stage| Box::pin(one_shot(stage))),
    Scenario::new("webhook refused once", |stage| Box::pin(refused_webhook(stage))),
    Scenario::new("ttl", |stage| Box::pin(ttl(stage))),
    Scenario::new("extend", |stage| Box::pin(extend(stage))),
];

/// Start, execute before ready, ready, webhook, output by offset, stop.
async fn whole(stage: &Stage<'_>) -> Result<()> {
    let (api, sink) = (stage.user().await?, Sink::open().await?);
    let body = json!({
        "env": {"GREETING": "hello"}, "metadata": {"course": "algebra"}, "ttlSeconds": 600,
        "webhook": {"url": sink.url},
    });
    let started = api.start(&body).await?;
    let early = api.execute(&started.session, "echo early; exit 3").await?;
    let start = api.finished(&started.job, SOON).await?;
    ensure!(start["status"] == "completed", "the start came out as {start}");
    let early = api.finished(&early, SOON).await?;
    ensure!(early["status"] == "completed" && early["exitCode"] == 3, "early: {early}");
    ensure!(early["stdout"]["text"] == "early\n", "early: {early}");
    let session = api.session(&started.session).await?;
    ensure!(session["status"] == "ready" && session["metadata"]["course"] == "algebra");

    let secret = started.webhook_secret.clone().context("a secret was generated")?;
    webhook(&sink, "session.ready", &secret, &started.session).await?;
    streams(&api, &started.session).await?;

    let session = api.stop(&started.session).await?;
    ensure!(session["status"] == "stopped" && session["reason"] == "user_stop", "{session}");
    let stopped = webhook(&sink, "session.stopped", &secret, &started.session).await?;
    if stage.place.as_aws().is_some() {
        for told in [&session, &stopped.event()["data"]] {
            ensure!(told["costUsd"].is_number(), "no cost in {told}");
        }
    }
    after_the_end(&api, &started.session).await
}

/// What a command gets and gives: streams apart, stdin, directory, environment, user.
async fn streams(api: &Api, session: &str) -> Result<()> {
    let line = "cat; pwd; echo $GREETING $NAME; id -un; echo trouble >&2; printf '\\377'";
    let body = json!({
        "command": line, "stdin": "from stdin\n", "cwd": "/tmp", "env": {"NAME": "world"},
    });
    let job = api.execute_with(session, &body).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["exitCode"] == 0 && end["usage"]["wallMs"].is_number(), "{end}");
    let stdout = api.stream(&job, "stdout", 7).await?;
    let expected = b"from stdin\n/tmp\nhello world\nshelluser\n\xff";
    ensure!(stdout == expected, "stdout was {:?}", String::from_utf8_lossy(&stdout));
    ensure!(api.stream(&job, "stderr", 65536).await? == b"trouble\n");
    let argv = json!({"command": ["printf", "%s|", "a b", "$HOME", "it's"]});
    let job = api.execute_with(session, &argv).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["text"] == "a b|$HOME|it's|", "argv: {end}");
    Ok(())
}

/// A session that is over is still told of, and takes nothing more.
async fn after_the_end(api: &Api, session: &str) -> Result<()> {
    let execute = json!({"sessionId": session, "command": "true"});
    api.post("/shell/execute", &execute).await?.problem(410, "session_ended")?;
    api.stop(session).await.context("stopping again")?;
    let events = api.events(session).await?;
    let seqs: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    ensure!(seqs.iter().copied().eq(1..=events.len() as u64), "gaps in the timeline: {seqs:?}");
    let types: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    for wanted in ["accepted", "provisioning", "task_placed", "ready", "stop_requested", "stopped"]
    {
        ensure!(types.contains(&wanted), "no {wanted} in {types:?}");
    }
    let jobs = api.get(&format!("/sessions/{session}/jobs")).await?.expect(200)?;
    let jobs = jobs.body["data"].as_array().cloned().unwrap_or_default();
    let open = |job: &&Value| job["status"] == "queued" || job["status"] == "running";
    ensure!(jobs.iter().filter(open).count() == 0, "open jobs: {jobs:?}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// The first webhook of this type about the session; its signature holds.
async fn webhook(sink: &Sink, kind: &str, secret: &str, session: &str) -> Result<Call> {
    until(&format!("webhook {kind}"), SOON, async || {
        let calls = sink.calls(kind);
        let Some(call) = calls.first() else { return Ok(Err("none came".to_owned())) };
        ensure!(call.is_signed(secret), "{kind} is not signed with the secret");
        ensure!(!call.is_signed("whsec_AAAA"), "any secret would do");
        ensure!(call.event()["data"]["sessionId"] == session, "of another session");
        Ok(Ok(call.clone()))
    })
    .await
}

/// It comes again, as the same one.
async fn refused_webhook(stage: &Stage<'_>) -> Result<()> {
    let (api, sink) = (stage.user().await?, Sink::refusing(1).await?);
    let body = json!({"webhook": {"url": sink.url, "events": ["session.ready"]}});
    let started = api.ready(&body).await?;
    let secret = started.webhook_secret.context("a secret was generated")?;
    let calls = until("the second try", SOON, async || {
        let calls = sink.calls("session.ready");
        Ok(if calls.len() == 2 { Ok(calls) } else { Err(format!("{} came", calls.len())) })
    })
    .await?;
    ensure!(calls[0].id == calls[1].id, "the second try has another webhook-id");
    ensure!(calls.iter().all(|call| call.is_signed(&secret)), "a try is not signed");
    api.stop(&started.session).await?;
    ensure!(sink.calls("session.stopped").is_empty(), "nobody asked for that event");
    Ok(())
}

/// The command comes with the start, and the session ends with it.
async fn one_shot(stage: &Stage<'_>) -> Result<()> {
    let api = stage.user().await?;
    let started = api.start(&json!({"command": "echo once; exit 5"})).await?;
    let command = started.command.context("the command has a job")?;
    let end = api.finished(&command, SOON).await?;
    ensure!(end["exitCode"] == 5 && end["stdout"]["text"] == "once\n", "{end}");
    let session = api.ended(&started.session, SOON).await?;
    ensure!(session["reason"] == "command_finished", "{session}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// Nobody stops it, and it ends.
async fn ttl(stage: &Stage<'_>) -> Result<()> {
    let api = stage.user().await?;
    let started = api.ready(&json!({"ttlSeconds": 6})).await?;
    let job = api.execute(&started.session, "sleep 500").await?;
    let session = stage.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "ttl_expired", "{session}");
    let job = api.finished(&job, SOON).await?;
    ensure!(job["status"] != "completed", "nobody saw it end by itself: {job}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// A deadline moves away without leave, and nearer only with it.
async fn extend(stage: &Stage<'_>) -> Result<()> {
    let api = stage.user().await?;
    let started = api.ready(&json!({"ttlSeconds": 10})).await?;
    let path = format!("/sessions/{}/extend", started.session);
    let longer = api.post(&path, &json!({"ttlSecondsFromNow": 600})).await?.expect(200)?;
    let expires = longer.body["expiresAt"].clone();
    let alive = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        api.session(&started.session).await
    };
    let session = stage.swept(alive).await?;
    ensure!(session["status"] == "ready", "it did not outlive its first deadline: {session}");
    let same = api.post(&path, &json!({"ttlSecondsFromNow": 5})).await?.expect(200)?;
    ensure!(same.body["expiresAt"] == expires, "it was shortened without leave");
    let shorter = json!({"ttlSecondsFromNow": 2, "allowShorten": true});
    api.post(&path, &shorter).await?.expect(200)?;
    let session = stage.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "ttl_expired", "{session}");
    Ok(())
}
