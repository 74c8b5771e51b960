//! Access to sessions and jobs.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON};

pub(super) const SCENARIOS: [Scenario; 4] = [
    Scenario::new("ids of others", |harness| Box::pin(others(harness))),
    Scenario::new("tokens", |harness| Box::pin(tokens(harness))),
    Scenario::new("id token", |harness| Box::pin(id_token(harness)))
        .only_on_aws("one machine's tokens are of one kind"),
    Scenario::new("event stream", |harness| Box::pin(event_stream(harness))),
];

/// The records of another user are not found.
async fn others(harness: &Harness<'_>) -> Result<()> {
    let (api, stranger) = (harness.user().await?, harness.stranger().await?);
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
    ensure!(
        list.body["data"].as_array().is_some_and(Vec::is_empty),
        "records of another user are listed"
    );
    ensure!(api.session(session).await?["status"] == "ready", "another user changed the session");
    api.stop(session).await?;
    Ok(())
}

/// Requests without a token, and with forged ones, are refused.
async fn tokens(harness: &Harness<'_>) -> Result<()> {
    let wrong = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    for token in [None, Some("nonsense"), Some(wrong)] {
        let anonymous = harness.place.bearer(token)?;
        for path in ["/quota", "/sessions", "/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            anonymous.get(path).await?.expect(401)?;
        }
        anonymous.post("/shell/start", &json!({})).await?.expect(401)?;
    }
    harness.user().await?.get("/quota").await?.expect(200)?;
    Ok(())
}

/// An id token is not accepted in place of an access token.
async fn id_token(harness: &Harness<'_>) -> Result<()> {
    let aws = harness.place.as_aws().context("this is AWS's shape")?;
    let tokens = aws.tokens("id token").await?;
    harness.place.bearer(Some(&tokens.access))?.get("/quota").await?.expect(200)?;
    let by_id = harness.place.bearer(Some(&tokens.id))?;
    by_id.get("/quota").await?.expect(401)?;
    by_id.post("/shell/start", &json!({})).await?.expect(401)?;
    Ok(())
}

/// The local server streams events; on AWS the response names the long-poll instead.
async fn event_stream(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.start(&json!({"command": "echo streamed"})).await?;
    let job = started.command.context("the command has a job")?;
    api.finished(&job, SOON).await?;
    let answer = api.get(&format!("/jobs/{job}/stream")).await?;
    if harness.place.as_aws().is_some() {
        let problem = answer.problem(406, "streaming_unavailable")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(
            detail.contains("waitSeconds"),
            "the problem does not name the long-poll: {detail}"
        );
    } else {
        let kind = answer.expect(200)?.header("content-type").to_owned();
        ensure!(kind.starts_with("text/event-stream"), "{kind}");
    }
    api.ended(&started.session, SOON).await?;
    Ok(())
}
