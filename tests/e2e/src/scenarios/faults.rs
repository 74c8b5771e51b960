//! What goes wrong around a session and must not be seen in it.

use std::{cell::Cell, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};

use super::Scenario;
use crate::{
    api::{Api, SOON},
    place::{Aws, Fault, Faults},
    stage::Stage,
};

const KILL_EVERY: Duration = Duration::from_secs(1);
const QUEUES: &str = "one machine's queues are its own";
const PROVIDER: &str = "one machine refuses no capacity";

pub(super) const SCENARIOS: [Scenario; 10] = [
    Scenario::new("stop while provisioning", |stage| Box::pin(early_stop(stage))),
    Scenario::new("redelivered messages", |stage| Box::pin(redelivered(stage))).only_on_aws(QUEUES),
    Scenario::new("doubled and late events", |stage| Box::pin(late_events(stage)))
        .only_on_aws(QUEUES)
        .alone(),
    Scenario::new("lost events", |stage| Box::pin(lost_events(stage))).only_on_aws(QUEUES).alone(),
    Scenario::new("no capacity, then some", |stage| Box::pin(no_capacity(stage)))
        .only_on_aws(PROVIDER)
        .alone(),
    Scenario::new("slow start", |stage| Box::pin(slow_start(stage))).only_on_aws(PROVIDER).alone(),
    Scenario::new("throttled RunTask", |stage| Box::pin(throttled(stage)))
        .only_on_aws(PROVIDER)
        .only_in_calm(),
    Scenario::new("RunTask's answer lost", |stage| Box::pin(answer_lost(stage)))
        .only_on_aws(PROVIDER)
        .only_in_calm(),
    Scenario::new("calls that fail", |stage| Box::pin(storm(stage)))
        .only_on_aws("one machine calls nobody")
        .only_in_calm(),
    Scenario::new("functions that die", |stage| Box::pin(deaths(stage)))
        .only_on_aws("one machine is one process, which the crash test kills")
        .only_in_calm(),
];

fn aws<'a>(stage: &Stage<'a>) -> Result<&'a Aws> {
    stage.place.as_aws().context("this is AWS's shape")
}

/// A session that runs one command, to its end. What the command did, it did once.
async fn plain(stage: &Stage<'_>, api: &Api) -> Result<Value> {
    let started = api.start(&json!({})).await?;
    let job = api.execute(&started.session, "echo ran >> count; cat count").await?;
    let end = stage.swept(api.finished(&job, SOON * 2)).await?;
    ensure!(end["status"] == "completed" && end["stdout"]["text"] == "ran\n", "{end}");
    let stop = api.ask_to_stop(&started.session).await?;
    stage.swept(api.finished(&stop, SOON * 2)).await?;
    let session = api.session(&started.session).await?;
    ensure!(session["reason"] == "user_stop", "{session}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(session)
}

/// Every message of a session again, several at once, while a command runs.
async fn redelivered(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
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

async fn with_events(stage: &Stage<'_>, events: Value) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    aws.fargate_faults(&json!({"events": events})).await?;
    plain(stage, &api).await.map(drop)
}

async fn late_events(stage: &Stage<'_>) -> Result<()> {
    with_events(stage, json!({"duplicate": 1.0, "shuffle": true, "delayMs": 700})).await
}

/// None comes at all: the sweep looks for itself.
async fn lost_events(stage: &Stage<'_>) -> Result<()> {
    with_events(stage, json!({"drop": 1.0})).await
}

async fn throttled(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    let before = aws.spoiled();
    aws.spoil(Faults::default().next("ecs", "RunTask", 8, Fault::Throttled));
    plain(stage, &api).await?;
    let throttled = aws.spoiled() - before;
    ensure!(throttled == 8, "only {throttled} calls were throttled");
    Ok(())
}

/// The task runs and nobody heard of it: the next try must find that one.
async fn answer_lost(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    let before = aws.spoiled();
    aws.spoil(Faults::default().next("ecs", "RunTask", 1, Fault::AnswerLost));
    let started = api.ready(&json!({})).await?;
    ensure!(aws.spoiled() == before + 1, "RunTask was not called");
    let tasks = aws.tasks_of(&started.session).await?;
    ensure!(tasks.len() == 1, "{} tasks run for one session", tasks.len());
    api.stop(&started.session).await?;
    Ok(())
}

async fn no_capacity(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    // More than one try has ways to go: two subnets.
    aws.fargate_faults(&json!({"capacity": 3})).await?;
    let session = plain(stage, &api).await?;
    let id = session["sessionId"].as_str().context("an id")?;
    let events = api.events(id).await?;
    ensure!(events.iter().any(|event| event["type"] == "placement_refused"), "{events:?}");
    Ok(())
}

async fn slow_start(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    aws.fargate_faults(&json!({"slowStartMs": 4000})).await?;
    plain(stage, &api).await.map(drop)
}

/// A stop that comes before there is a task.
async fn early_stop(stage: &Stage<'_>) -> Result<()> {
    let api = stage.user().await?;
    let started = api.start(&json!({})).await?;
    let waiting = api.execute(&started.session, "echo never").await?;
    let stop = api.ask_to_stop(&started.session).await?;
    let stop = stage.swept(api.finished(&stop, SOON)).await?;
    ensure!(stop["status"] == "completed", "{stop}");
    let session = api.session(&started.session).await?;
    ensure!(session["reason"] == "user_stop", "{session}");
    let waiting = api.finished(&waiting, SOON).await?;
    ensure!(waiting["status"] == "cancelled" || waiting["status"] == "completed", "{waiting}");
    ensure!(api.active().await? == 0, "the slot is not free");
    Ok(())
}

/// Of all the functions' calls, some are refused and some answers are lost.
async fn storm(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
    let faults = Faults::default()
        .chance(4, Fault::Throttled)
        .chance(2, Fault::Broken)
        .chance(2, Fault::AnswerLost);
    let before = aws.spoiled();
    aws.spoil(faults);
    busy(stage, &api).await?;
    let spoiled = aws.spoiled() - before;
    ensure!(spoiled >= 10, "only {spoiled} calls were spoiled");
    Ok(())
}

/// Now and then a process of some function is killed in the middle of whatever it does.
async fn deaths(stage: &Stage<'_>) -> Result<()> {
    let (api, aws) = (stage.user().await?, aws(stage)?);
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
            busy(stage, &api).await?;
        }
        Ok(())
    };
    tokio::select! {
        done = rounds => done,
        () = killing => Ok(()),
    }
}

/// Three sessions at once, three commands each. What each command did, it did once.
async fn busy(stage: &Stage<'_>, api: &Api) -> Result<()> {
    let api = &api.patient();
    let played = (0..3).map(async |_| {
        let started = api.start(&json!({"ttlSeconds": 600})).await?;
        for number in 1..=3 {
            let line = "echo ran >> count; sleep 0.5; wc -l < count";
            let job = api.execute(&started.session, line).await?;
            let end = stage.swept(api.finished(&job, SOON * 2)).await?;
            ensure!(end["stdout"]["text"] == format!("{number}\n"), "{end}");
        }
        api.ask_to_stop(&started.session).await?;
        let session = stage.ended(api, &started.session, SOON * 2).await?;
        ensure!(session["reason"] == "user_stop", "{session}");
        Ok(())
    });
    for session in join_all(played).await {
        session?;
    }
    ensure!(api.active().await? == 0, "the slots are not free");
    Ok(())
}
