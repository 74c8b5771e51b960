//! No secret of a user is logged.

use anyhow::{Context, Result, ensure};
use client::WebhookSink;
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON, wait::until};

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("secrets in no log", |harness| Box::pin(secrets(harness))).alone()];

/// Puts marks into all secret inputs, then searches all logs for them.
async fn secrets(harness: &Harness<'_>) -> Result<()> {
    let (api, sink) = (harness.user().await?, WebhookSink::open().await?);
    let secret = "whsec_TWFya0luVGhlV2ViaG9va1NlY3JldDEyMzQ=";
    let body = json!({
        "env": {"PLANTED": "mark-in-session-env"},
        "webhook": {"url": format!("{}?key=mark-in-webhook-url", sink.url()), "secret": secret},
    });
    let started = api.ready(&body).await?;
    let line = "cat >&2; echo mark-in-\"output\"; : mark-in-command; false";
    let execute = json!({
        "command": line, "stdin": "mark-in-stdin", "env": {"ALSO": "mark-in-command-env"},
    });
    let job = api.execute_with(&started.session, &execute).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["text"] == "mark-in-output\n", "{end}");
    ensure!(end["stderr"]["text"] == "mark-in-stdin", "{end}");
    let missing = json!({"command": ["/mark-in-program"], "user": "nobody"});
    let missing = api.execute_with(&started.session, &missing).await?;
    api.finished(&missing, SOON).await?;
    // Refused requests are not logged either.
    let refused = json!({"sessionId": started.session, "command": "mark-in-refused", "nope": 1});
    api.post("/shell/execute", &refused).await?.problem(400, "invalid_request")?;
    harness.place.bearer(Some("mark-in-token"))?.get("/quota").await?.expect(401)?;
    api.stop(&started.session).await?;
    until("the last webhook", SOON, async || {
        Ok(if sink.calls_of("session.stopped").is_empty() {
            Err("no call arrived".to_owned())
        } else {
            Ok(())
        })
    })
    .await?;

    let token = api.token().context("a user has a token")?;
    let signature = token.rsplit('.').next().unwrap_or(token);
    let marks = [token, signature, secret, "TWFya0luVGhlV2ViaG9va1NlY3JldDEyMzQ", "mark-in-"];
    let logs = harness.place.logs().await?;
    // The search is meaningful only if the logs mention the session.
    ensure!(logs.iter().any(|(_, log)| log.contains(&started.session)), "nothing was logged");
    for (source, log) in logs {
        for line in log.lines() {
            let found = marks.iter().position(|mark| line.contains(mark));
            ensure!(found.is_none(), "{source} has mark {found:?} in: {line}");
        }
    }
    Ok(())
}
