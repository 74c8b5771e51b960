//! The lifecycle of a session, and the limits of its time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::{WebhookCall, WebhookSink};
use serde_json::{Value, json};

use super::Scenario;
use crate::{
    harness::Harness,
    user::{SOON, User},
    wait::until,
};

pub(super) const SCENARIOS: [Scenario; 7] = [
    Scenario::new("a whole life", |harness| Box::pin(whole(harness))),
    Scenario::new("one shot", |harness| Box::pin(one_shot(harness))),
    Scenario::new("files of a start", |harness| Box::pin(files(harness))),
    Scenario::new("refused file of a start", |harness| Box::pin(refused_file(harness))),
    Scenario::new("webhook refused once", |harness| Box::pin(refused_webhook(harness))),
    Scenario::new("ttl", |harness| Box::pin(ttl(harness))),
    Scenario::new("extend", |harness| Box::pin(extend(harness))),
];

/// Start, execute before ready, ready, webhook, output by offset, stop.
async fn whole(harness: &Harness<'_>) -> Result<()> {
    let (api, sink) = (harness.user().await?, WebhookSink::open().await?);
    let body = json!({
        "env": {"GREETING": "hello"}, "metadata": {"course": "algebra"}, "ttlSeconds": 600,
        "webhook": {"url": sink.url()},
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
    // An instance costs the same whatever runs on it.
    if harness.place.as_aws().is_some_and(|aws| !aws.has_instances()) {
        for shown in [&session, &stopped.event()["data"]] {
            ensure!(shown["costUsd"].is_number(), "no cost in {shown}");
        }
    }
    events(&api, &started.session).await?;
    after_the_end(&api, &started.session).await
}

/// Files are there before the first command, with the mode and the owner that they must have.
async fn files(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let files = json!([
        {"path": "in/run.sh", "content": "#!/bin/sh\necho hidden-file\n", "mode": "0750"},
        {"path": "/tmp/bytes", "base64": "AAH/"},
    ]);
    let started = api.start(&json!({"files": files})).await?;
    let line = "in/run.sh; stat -c '%a %U %s' in/run.sh /tmp/bytes";
    let job = api.execute(&started.session, line).await?;
    let end = api.finished(&job, SOON).await?;
    let expected = "hidden-file\n750 shelluser 27\n644 shelluser 3\n";
    ensure!(end["stdout"]["text"] == expected, "{end}");
    let shown = [api.session(&started.session).await?, api.finished(&started.job, SOON).await?];
    ensure!(!json!(shown).to_string().contains("run.sh"), "a file is shown: {shown:?}");
    api.stop(&started.session).await?;
    Ok(())
}

/// A file that can't be written fails the start, and the events say which and why.
async fn refused_file(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let files = json!([{"path": "a", "content": "x"}, {"path": "/etc/passwd", "content": "x"}]);
    let started = api.start(&json!({"files": files})).await?;
    let start = api.finished(&started.job, SOON).await?;
    ensure!(start["status"] == "failed" && start["error"]["code"] == "files_refused", "{start}");
    let session = api.ended(&started.session, SOON).await?;
    ensure!(session["status"] == "failed" && session["reason"] == "files_refused", "{session}");
    let events = json!(api.events(&started.session).await?).to_string();
    ensure!(events.contains("/etc/passwd: permission denied"), "{events}");
    Ok(())
}

/// The events of the user, from the first to the last.
async fn events(api: &User, session: &str) -> Result<()> {
    let (mut types, mut after) = (Vec::new(), 0);
    loop {
        let page = api.get(&format!("/events?after={after}&limit=3")).await?.expect(200)?.body;
        let events = page["data"].as_array().context("no list")?;
        ensure!(events.iter().zip(after + 1..).all(|(event, seq)| event["seq"] == seq), "{page}");
        if events.is_empty() {
            break;
        }
        types.extend(events.iter().filter(|event| event["sessionId"] == session).cloned());
        after = page["nextAfter"].as_u64().context("no nextAfter")?;
    }
    let names: Vec<_> = types.iter().filter_map(|event| event["type"].as_str()).collect();
    let ends = [names.first(), names.last()];
    ensure!(ends == [Some(&"session.ready"), Some(&"session.stopped")], "{names:?}");
    let commands = names.iter().filter(|name| **name == "job.completed").count();
    ensure!(commands == 3 && names.len() == 5, "{names:?}");
    ensure!(types[1]["data"]["exitCode"] == 3, "{}", types[1]);
    Ok(())
}

/// Input and output of a command: separate streams, stdin, directory, environment, user.
async fn streams(api: &User, session: &str) -> Result<()> {
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

/// An ended session can still be read, and accepts no command.
async fn after_the_end(api: &User, session: &str) -> Result<()> {
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

/// Waits for the first webhook of this type, and checks its signature and session.
async fn webhook(
    sink: &WebhookSink,
    kind: &str,
    secret: &str,
    session: &str,
) -> Result<WebhookCall> {
    until(&format!("webhook {kind}"), SOON, async || {
        let calls = sink.calls_of(kind);
        let Some(call) = calls.first() else { return Ok(Err("no call arrived".to_owned())) };
        ensure!(call.is_signed(secret), "{kind} is not signed with the secret");
        ensure!(!call.is_signed("whsec_AAAA"), "any secret verifies the signature");
        ensure!(call.event()["data"]["sessionId"] == session, "of another session");
        Ok(Ok(call.clone()))
    })
    .await
}

/// A refused webhook is sent again under the same id.
async fn refused_webhook(harness: &Harness<'_>) -> Result<()> {
    let (api, sink) =
        (harness.user().await?, WebhookSink::refusing(|_, earlier| earlier.is_empty()).await?);
    let body = json!({"webhook": {"url": sink.url(), "events": ["session.ready"]}});
    let started = api.ready(&body).await?;
    let secret = started.webhook_secret.context("a secret was generated")?;
    let calls = until("the second try", SOON, async || {
        let calls = sink.calls_of("session.ready");
        Ok(if calls.len() == 2 { Ok(calls) } else { Err(format!("{} came", calls.len())) })
    })
    .await?;
    ensure!(calls[0].id == calls[1].id, "the second try has another webhook-id");
    ensure!(calls.iter().all(|call| call.is_signed(&secret)), "a try is not signed");
    api.stop(&started.session).await?;
    ensure!(
        sink.calls_of("session.stopped").is_empty(),
        "the webhook is not subscribed to this event"
    );
    Ok(())
}

/// A session that is started with a command ends with it.
async fn one_shot(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.start(&json!({"command": "echo once; exit 5"})).await?;
    let command = started.command.context("the command has a job")?;
    let end = api.finished(&command, SOON).await?;
    ensure!(end["exitCode"] == 5 && end["stdout"]["text"] == "once\n", "{end}");
    let session = api.ended(&started.session, SOON).await?;
    ensure!(session["reason"] == "command_finished", "{session}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// A session ends at its time to live.
async fn ttl(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({"ttlSeconds": 6})).await?;
    let job = api.execute(&started.session, "sleep 500").await?;
    let session = harness.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "ttl_expired", "{session}");
    let job = api.finished(&job, SOON).await?;
    ensure!(job["status"] != "completed", "the command did not end by itself: {job}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// The end can be postponed, and moved nearer only with `allowShorten`.
async fn extend(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({"ttlSeconds": 10})).await?;
    let path = format!("/sessions/{}/extend", started.session);
    let longer = api.post(&path, &json!({"ttlSecondsFromNow": 600})).await?.expect(200)?;
    let expires = longer.body["expiresAt"].clone();
    let alive = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        api.session(&started.session).await
    };
    let session = harness.swept(alive).await?;
    ensure!(session["status"] == "ready", "it did not outlive its first deadline: {session}");
    let same = api.post(&path, &json!({"ttlSecondsFromNow": 5})).await?.expect(200)?;
    ensure!(same.body["expiresAt"] == expires, "it was shortened without allowShorten");
    let shorter = json!({"ttlSecondsFromNow": 2, "allowShorten": true});
    api.post(&path, &shorter).await?.expect(200)?;
    let session = harness.ended(&api, &started.session, SOON).await?;
    ensure!(session["reason"] == "ttl_expired", "{session}");
    Ok(())
}
