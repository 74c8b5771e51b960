//! Faults around a session that its user must not notice.

use std::{cell::Cell, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};

use super::Scenario;
use crate::{
    harness::Harness,
    place::{Aws, Fault, Faults},
    user::{SOON, User},
};

const KILL_EVERY: Duration = Duration::from_secs(1);
const QUEUES: &str = "one machine's queues are its own";
const PROVIDER: &str = "one machine refuses no capacity";

pub(super) const SCENARIOS: [Scenario; 10] = [
    Scenario::new("stop while provisioning", |harness| Box::pin(early_stop(harness))),
    Scenario::new("redelivered messages", |harness| Box::pin(redelivered(harness)))
        .only_on_aws(QUEUES),
    Scenario::new("doubled and late events", |harness| Box::pin(late_events(harness)))
        .only_on_aws(QUEUES)
        .alone(),
    Scenario::new("lost events", |harness| Box::pin(lost_events(harness)))
        .only_on_aws(QUEUES)
        .alone(),
    Scenario::new("no capacity, then some", |harness| Box::pin(no_capacity(harness)))
        .only_on_aws(PROVIDER)
        .alone(),
    Scenario::new("slow start", |harness| Box::pin(slow_start(harness)))
        .only_on_aws(PROVIDER)
        .alone(),
    Scenario::new("throttled RunTask", |harness| Box::pin(throttled(harness)))
        .only_on_aws(PROVIDER)
        .only_without_faults(),
    Scenario::new("RunTask's answer lost", |harness| Box::pin(answer_lost(harness)))
        .only_on_aws(PROVIDER)
        .only_without_faults(),
    Scenario::new("calls that fail", |harness| Box::pin(random_faults(harness)))
        .only_on_aws("the local server calls no service")
        .only_without_faults(),
    Scenario::new("functions that die", |harness| Box::pin(deaths(harness)))
        .only_on_aws("one machine is one process, which the crash test kills")
        .only_without_faults(),
];

fn aws<'a>(harness: &Harness<'a>) -> Result<&'a Aws> {
    harness.place.as_aws().context("this is AWS's shape")
}

/// A whole session with one command, which must run once.
async fn plain(harness: &Harness<'_>, api: &User) -> Result<Value> {
    let started = api.start(&json!({})).await?;
    let job = api.execute(&started.session, "echo ran >> count; cat count").await?;
    let end = harness.swept(api.finished(&job, SOON * 2)).await?;
    ensure!(end["status"] == "completed" && end["stdout"]["text"] == "ran\n", "{end}");
    let stop = api.ask_to_stop(&started.session).await?;
    harness.swept(api.finished(&stop, SOON * 2)).await?;
    let session = api.session(&started.session).await?;
    ensure!(session["reason"] == "user_stop", "{session}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(session)
}

/// All messages of a session are redelivered, several at once, while a command runs.
async fn redelivered(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    let started = api.ready(&json!({})).await?;
    let session = &started.session;
    let line = "echo ran >> count; sleep 3; wc -l < count";
    let job = api.execute(session, line).await?;
    api.job_is(&job, "running", SOON).await?;
    let messages = [
        ("exec", json!({"type": "runJob", "session": session})),
        ("control", json!({"type": "startSession", "session": session})),
        ("control", json!({"type": "ringSession", "session": session})),
    ];
    let sends = messages.iter().flat_map(|message| [message; 3]);
    for sent in join_all(sends.map(|(lane, message)| aws.send(lane, message))).await {
        sent?;
    }
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["text"] == "1\n", "{end}");
    let after = api.output_of(session, "wc -l < count").await?;
    ensure!(after == "1\n", "it ran {after} times");
    api.stop(session).await?;
    for (lane, message) in &messages {
        aws.send(lane, message).await?;
    }
    let again = api.session(session).await?;
    ensure!(again["status"] == "stopped", "{again}");
    Ok(())
}

async fn with_events(harness: &Harness<'_>, events: Value) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    aws.fargate_faults(&json!({"events": events})).await?;
    plain(harness, &api).await.map(drop)
}

async fn late_events(harness: &Harness<'_>) -> Result<()> {
    with_events(harness, json!({"duplicate": 1.0, "shuffle": true, "delayMs": 700})).await
}

/// All events are lost: the sweep reconciles the session.
async fn lost_events(harness: &Harness<'_>) -> Result<()> {
    with_events(harness, json!({"drop": 1.0})).await
}

async fn throttled(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    let before = aws.injected();
    aws.inject(Faults::default().next("ecs", "RunTask", 8, Fault::Throttled));
    plain(harness, &api).await?;
    let throttled = aws.injected() - before;
    ensure!(throttled == 8, "only {throttled} calls were throttled");
    Ok(())
}

/// The task runs, but the response to RunTask is lost: the retry must find the same task.
async fn answer_lost(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    let before = aws.injected();
    aws.inject(Faults::default().next("ecs", "RunTask", 1, Fault::AnswerLost));
    let started = api.ready(&json!({})).await?;
    ensure!(aws.injected() == before + 1, "RunTask was not called");
    let tasks = aws.tasks_of(&started.session).await?;
    ensure!(tasks.len() == 1, "{} tasks run for one session", tasks.len());
    api.stop(&started.session).await?;
    Ok(())
}

async fn no_capacity(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    // One attempt tries two subnets, so that three refusals need a second attempt.
    aws.fargate_faults(&json!({"capacity": 3})).await?;
    let session = plain(harness, &api).await?;
    let id = session["sessionId"].as_str().context("an id")?;
    let events = api.events(id).await?;
    ensure!(events.iter().any(|event| event["type"] == "placement_refused"), "{events:?}");
    Ok(())
}

async fn slow_start(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    aws.fargate_faults(&json!({"slowStartMs": 4000})).await?;
    plain(harness, &api).await.map(drop)
}

/// A stop before the session has a task.
async fn early_stop(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.start(&json!({})).await?;
    let waiting = api.execute(&started.session, "echo never").await?;
    let stop = api.ask_to_stop(&started.session).await?;
    let stop = harness.swept(api.finished(&stop, SOON)).await?;
    ensure!(stop["status"] == "completed", "{stop}");
    let session = api.session(&started.session).await?;
    ensure!(session["reason"] == "user_stop", "{session}");
    let waiting = api.finished(&waiting, SOON).await?;
    ensure!(waiting["status"] == "cancelled" || waiting["status"] == "completed", "{waiting}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// Some calls of all functions are refused, and some responses are lost.
async fn random_faults(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    let faults = Faults::default()
        .percent(4, Fault::Throttled)
        .percent(2, Fault::Broken)
        .percent(2, Fault::AnswerLost);
    let before = aws.injected();
    aws.inject(faults);
    busy(harness, &api).await?;
    let injected = aws.injected() - before;
    ensure!(injected >= 10, "only {injected} calls were injected");
    Ok(())
}

/// Every second a process of some function is killed.
async fn deaths(harness: &Harness<'_>) -> Result<()> {
    let (api, aws) = (harness.user().await?, aws(harness)?);
    let killed = Cell::new(0_usize);
    let killing = async {
        loop {
            tokio::time::sleep(KILL_EVERY).await;
            if aws.kill_one(killed.get() * 7).is_some() {
                killed.set(killed.get() + 1);
            }
        }
    };
    let rounds = async {
        while killed.get() < 10 {
            busy(harness, &api).await?;
        }
        Ok(())
    };
    tokio::select! {
        done = rounds => done,
        () = killing => Ok(()),
    }
}

/// Three concurrent sessions with three commands each; each command must run once.
async fn busy(harness: &Harness<'_>, api: &User) -> Result<()> {
    let api = &api.retrying();
    let played = (0..3).map(async |_| {
        let started = api.start(&json!({"ttlSeconds": 600})).await?;
        for number in 1..=3 {
            let line = "echo ran >> count; sleep 0.5; wc -l < count";
            let job = api.execute(&started.session, line).await?;
            let end = harness.swept(api.finished(&job, SOON * 2)).await?;
            ensure!(end["stdout"]["text"] == format!("{number}\n"), "{end}");
        }
        api.ask_to_stop(&started.session).await?;
        let session = harness.ended(api, &started.session, SOON * 2).await?;
        ensure!(session["reason"] == "user_stop", "{session}");
        Ok(())
    });
    for session in join_all(played).await {
        session?;
    }
    ensure!(api.active().await? == 0, "the slots are not free");
    Ok(())
}
