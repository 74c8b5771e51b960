//! Attacks by whoever can read the server's log or this machine's list of processes.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Attack;
use crate::server::Server;

pub(super) const ATTACKS: [Attack; 1] =
    [Attack::new("find secrets in the log and in arguments", |server| Box::pin(leaks(server)))];

/// The log has the level `trace`. A command's own arguments are shown to users of this host by its
/// process, so the command sleeps meanwhile without any.
async fn leaks(server: &Server) -> Result<Option<String>> {
    let alice = server.user("confidential").await?;
    let mark = |name: &str| format!("marked-{name}-{}", std::process::id());
    let session = alice.ready_with(&json!({"env": {"A": mark("session-env")}})).await?;
    let body = json!({
        "command": format!("read -r x; echo {} $x; sleep 2", mark("command")),
        "env": {"B": mark("env")},
        "stdin": format!("{}\n", mark("stdin")),
    });
    let job = alice.execute(&session, &body).await?;
    let pid = server.pid().context("the server has ended")?;
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let job = alice.finished(&job).await?;
    ensure!(job["exitCode"] == 0, "{job}");
    for url in [mark("path"), format!("{}?key={}", mark("path"), mark("query"))] {
        let url = format!("https://{}:{}@192.0.2.1/{url}", mark("user"), mark("password"));
        let webhook = json!({"url": url, "secret": "whsec_c2VjcmV0LW9mLXRoZS10ZXN0LW9ubHktMjQ="});
        alice.post("/shell/start", &json!({"webhook": webhook, "ttlSeconds": 5})).await?;
    }
    alice
        .post(
            "/shell/execute",
            &json!({"sessionId": session, "command": [], "env": {"C": mark("refused")}}),
        )
        .await?;
    server.bearer(Some(mark("token")))?.get("/quota").await?.expect(401)?;
    alice.stop(&session).await?;
    let log = server.log()?;
    ensure!(log.len() > 1000, "the log is empty");
    let secrets = [
        "session-env",
        "command",
        "env",
        "stdin",
        "path",
        "query",
        "user",
        "password",
        "refused",
        "token",
    ];
    for secret in secrets
        .map(mark)
        .iter()
        .chain([&alice.token().to_owned(), &"c2VjcmV0LW9mLXRoZS10ZXN0".to_owned()])
    {
        for (place, text) in [("the log", &log), ("the arguments of the server", &arguments)] {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            ensure!(line.is_none(), "{place} has {secret}: {}", line.unwrap_or_default());
        }
    }
    Ok(None)
}
