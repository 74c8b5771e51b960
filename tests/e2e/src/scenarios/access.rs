//! Who may see what.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{api::SOON, stage::Stage};

pub(super) const SCENARIOS: [Scenario; 4] = [
    Scenario::new("ids of others", |stage| Box::pin(others(stage))),
    Scenario::new("tokens", |stage| Box::pin(tokens(stage))),
    Scenario::new("id token", |stage| Box::pin(id_token(stage)))
        .only_on_aws("one machine's tokens are of one kind"),
    Scenario::new("event stream", |stage| Box::pin(event_stream(stage))),
];

/// What belongs to someone else is not there.
async fn others(stage: &Stage<'_>) -> Result<()> {
    let (api, stranger) = (stage.user().await?, stage.stranger().await?);
    let started = api.ready(&json!({})).await?;
    let (session, job) = (&started.session, &started.job);
    let reads = [
        format!("/sessions/{session}"),
        format!("/sessions/{session}/events"),
        format!("/sessions/{session}/jobs"),
        format!("/jobs/{job}"),
        format!("/jobs/{job}/output?stream=stdout"),
    ];
    for path in reads {
        api.get(&path).await?.expect(200)?;
        stranger.get(&path).await?.problem(404, "not_found").context(path)?;
    }
    let writes = [
        ("/shell/execute".to_owned(), json!({"sessionId": session, "command": "true"})),
        ("/shell/stop".to_owned(), json!({"sessionId": session})),
        (format!("/sessions/{session}/extend"), json!({"ttlSecondsFromNow": 60})),
        (format!("/jobs/{job}/cancel"), json!({})),
        (format!("/jobs/{job}/signal"), json!({"signal": "TERM"})),
    ];
    for (path, body) in writes {
        stranger.post(&path, &body).await?.problem(404, "not_found").context(path)?;
    }
    let list = stranger.get("/sessions").await?.expect(200)?;
    ensure!(list.body["data"].as_array().is_some_and(Vec::is_empty), "they are listed");
    ensure!(api.session(session).await?["status"] == "ready", "a stranger changed it");
    api.stop(session).await?;
    Ok(())
}

/// Without a token, and with one that nobody gave.
async fn tokens(stage: &Stage<'_>) -> Result<()> {
    let wrong = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    for token in [None, Some("nonsense"), Some(wrong)] {
        let nobody = stage.place.bearer(token)?;
        for path in ["/quota", "/sessions", "/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            nobody.get(path).await?.expect(401)?;
        }
        nobody.post("/shell/start", &json!({})).await?.expect(401)?;
    }
    stage.user().await?.get("/quota").await?.expect(200)?;
    Ok(())
}

/// It says who somebody is, not that they may call.
async fn id_token(stage: &Stage<'_>) -> Result<()> {
    let aws = stage.place.as_aws().context("this is AWS's shape")?;
    let tokens = aws.tokens("id token").await?;
    stage.place.bearer(Some(&tokens.access))?.get("/quota").await?.expect(200)?;
    let by_id = stage.place.bearer(Some(&tokens.id))?;
    by_id.get("/quota").await?.expect(401)?;
    by_id.post("/shell/start", &json!({})).await?.expect(401)?;
    Ok(())
}

/// A server can stream; what can't says what to do instead.
async fn event_stream(stage: &Stage<'_>) -> Result<()> {
    let api = stage.user().await?;
    let started = api.start(&json!({"command": "echo streamed"})).await?;
    let job = started.command.context("the command has a job")?;
    api.finished(&job, SOON).await?;
    let answer = api.get(&format!("/jobs/{job}/stream")).await?;
    if stage.place.as_aws().is_some() {
        let problem = answer.problem(406, "streaming_unavailable")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains("waitSeconds"), "it does not name the long-poll: {detail}");
    } else {
        let kind = answer.expect(200)?.header("content-type").to_owned();
        ensure!(kind.starts_with("text/event-stream"), "{kind}");
    }
    api.ended(&started.session, SOON).await?;
    Ok(())
}
