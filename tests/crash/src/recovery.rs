//! Measures how soon a restarted server follows its running commands again.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Args, api::Api, deployment::Deployment, load::text};

/// Commands per session.
const COMMANDS_PER_SESSION: usize = 10;
const RUNS_WITHIN: Duration = Duration::from_mins(2);

/// Starts commands, kills the server, starts it again, and waits until it follows all of them.
pub(crate) async fn measure(args: &Args, program: PathBuf) -> Result<bool> {
    let sessions = args.jobs.div_ceil(COMMANDS_PER_SESSION);
    let quota = sessions.to_string();
    let mut deployment =
        Deployment::new(program, &["--quota", &quota, "--log", "warn"], args.log.clone())?;
    deployment.launch()?;
    deployment.listening().await?;
    let api = Api::new(deployment.server())?;
    let started = join_all((0..sessions).map(|n| begin(&api, n, args.jobs))).await;
    let sessions: Vec<String> = started.into_iter().collect::<Result<_>>()?;
    running(&api, &sessions, 1).await?;

    deployment.kill()?;
    let began = Instant::now();
    deployment.launch()?;
    deployment.listening().await?;
    let listening = began.elapsed();
    running(&api, &sessions, 2).await?;
    let attached = began.elapsed();
    // Only a worker that follows a command can report its end.
    let ended = join_all(sessions.iter().map(|session| end(&api, session))).await;
    ended.into_iter().collect::<Result<Vec<_>>>()?;
    deployment.stop().await?;
    let (jobs, listening, attached) = (args.jobs, listening.as_secs_f64(), attached.as_secs_f64());
    if args.json {
        println!("{}", json!({"jobs": jobs, "listening_s": listening, "attached_s": attached}));
    } else {
        println!(
            "{jobs} running commands: listening after {listening:.3} s, all attached after {attached:.3} s"
        );
    }
    Ok(true)
}

async fn begin(api: &Api, number: usize, jobs: usize) -> Result<String> {
    let session = post(api, "start", &format!("s{number}"), &json!({})).await?;
    let session = text(&session, "sessionId");
    let wanted = COMMANDS_PER_SESSION.min(jobs - number * COMMANDS_PER_SESSION);
    for n in 0..wanted {
        let body = json!({
            "sessionId": session, "command": ["sleep", "600"], "concurrency": "parallel",
        });
        post(api, "execute", &format!("s{number}-{n}"), &body).await?;
    }
    Ok(session)
}

/// Waits until every command runs in at least this attempt, that is: until a worker of the n-th server
/// follows it.
async fn running(api: &Api, sessions: &[String], attempt: u64) -> Result<()> {
    let began = Instant::now();
    for session in sessions {
        while !commands(api, session)
            .await?
            .iter()
            .all(|job| job["status"] == "running" && job["attempt"].as_u64() >= Some(attempt))
        {
            if began.elapsed() > RUNS_WITHIN {
                bail!("the commands of {session} do not run");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

async fn end(api: &Api, session: &str) -> Result<()> {
    for job in commands(api, session).await? {
        let id = text(&job, "jobId");
        api.post(&format!("/jobs/{id}/cancel"), &format!("c-{id}"), &json!({})).await;
        let job = api.get(&format!("/jobs/{id}?waitSeconds=25")).await.body;
        if job["status"] != "cancelled" || job["signal"].is_null() {
            bail!("{id} is {} after it was cancelled", job["status"]);
        }
    }
    let stop =
        post(api, "stop", &format!("stop-{session}"), &json!({"sessionId": session})).await?;
    api.get(&format!("/jobs/{}?waitSeconds=25", text(&stop, "jobId"))).await;
    Ok(())
}

async fn commands(api: &Api, session: &str) -> Result<Vec<Value>> {
    let jobs = api.list(&format!("/sessions/{session}/jobs")).await?;
    Ok(jobs.into_iter().filter(|job| job["type"] == "execute").collect())
}

async fn post(api: &Api, verb: &str, key: &str, body: &Value) -> Result<Value> {
    let answer = api.post(&format!("/shell/{verb}"), key, body).await;
    (answer.status == 202)
        .then_some(answer.body)
        .with_context(|| format!("{verb} was answered with {}", answer.status))
}
