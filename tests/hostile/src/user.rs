//! The API as one user's program uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::{Client, Response, Server, text};
use serde_json::{Value, json};

/// Longest time for a job of an attack.
const JOB_ENDS_WITHIN: Duration = Duration::from_secs(110);
/// What all attack programs begin with.
const PROLOGUE: &str = include_str!("../programs/attack.py");

/// A user of the API, or a client that pretends to be one.
#[derive(Debug, Clone)]
pub(crate) struct User {
    client: Client,
    server: Server,
}

impl User {
    pub(crate) fn new(base: &str, token: Option<String>) -> Result<Self> {
        Ok(Self { client: Client::new()?, server: Server { base: base.to_owned(), token } })
    }

    pub(crate) fn token(&self) -> &str {
        self.server.token.as_deref().unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        Ok(Response::to(self.client.get(&self.server, path)).await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Response> {
        Ok(Response::to(self.client.post(&self.server, path, body)).await?)
    }

    /// Starts a session of ten minutes and waits until it is ready.
    pub(crate) async fn ready(&self) -> Result<String> {
        self.ready_with(&json!({})).await
    }

    pub(crate) async fn ready_with(&self, body: &Value) -> Result<String> {
        let mut body = body.clone();
        if body["ttlSeconds"].is_null() {
            body["ttlSeconds"] = json!(600);
        }
        let answer = self.post("/shell/start", &body).await?.expect(202).context("start")?;
        let job = self.finished(&text(&answer.body, "jobId")?).await?;
        ensure!(job["status"] == "completed", "the start came out as {job}");
        text(&answer.body, "sessionId")
    }

    /// Accepts a command; returns its job.
    pub(crate) async fn execute(&self, session: &str, body: &Value) -> Result<String> {
        let mut body = body.clone();
        body["sessionId"] = json!(session);
        let answer = self.post("/shell/execute", &body).await?.expect(202).context("execute")?;
        text(&answer.body, "jobId")
    }

    /// Runs a command and waits for its end; returns the job.
    pub(crate) async fn run(&self, session: &str, body: &Value) -> Result<Value> {
        let job = self.execute(session, body).await?;
        self.finished(&job).await
    }

    /// The standard output of a shell line, which may fail.
    pub(crate) async fn output_of(&self, session: &str, line: &str) -> Result<String> {
        let job = self.run(session, &json!({"command": line})).await?;
        text(&job["stdout"], "text")
    }

    /// Waits by long-polls for the end of a job.
    pub(crate) async fn finished(&self, job: &str) -> Result<Value> {
        let began = Instant::now();
        loop {
            let body = self.get(&format!("/jobs/{job}?waitSeconds=20")).await?.expect(200)?.body;
            if body["status"] != "queued" && body["status"] != "running" {
                return Ok(body);
            }
            ensure!(began.elapsed() < JOB_ENDS_WITHIN, "{job} does not end: {body}");
        }
    }

    pub(crate) async fn stop(&self, session: &str) -> Result<()> {
        let answer = self.post("/shell/stop", &json!({"sessionId": session})).await?.expect(202)?;
        let job = self.finished(&text(&answer.body, "jobId")?).await?;
        ensure!(job["status"] == "completed", "the stop came out as {job}");
        Ok(())
    }

    /// Stops all sessions and waits until they have ended.
    pub(crate) async fn stop_all(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let quota = self.get("/quota").await?.expect(200)?.body;
            if quota["active"] == 0 && quota["queued"] == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < JOB_ENDS_WITHIN, "sessions do not end: {quota}");
            for status in ["queued", "provisioning", "starting", "ready"] {
                let list = self.get(&format!("/sessions?limit=100&status={status}")).await?.body;
                for session in list["data"].as_array().into_iter().flatten() {
                    let id = &session["sessionId"];
                    self.post("/shell/stop", &json!({"sessionId": id})).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs an attack program in a session. Its attempts must all be held. Returns why the program can't
    /// run here, if it can't.
    pub(crate) async fn attack(&self, session: &str, program: &str) -> Result<Option<String>> {
        let program = format!("{PROLOGUE}\n{program}\nprint('done')\n");
        let command = json!(["python3", "-I", "-"]);
        let job = self
            .run(session, &json!({"command": command, "stdin": program, "timeoutSeconds": 100}))
            .await?;
        if job["error"]["code"] == "command_not_found" {
            return Ok(Some("shells have no python3".to_owned()));
        }
        let output = text(&job["stdout"], "text").unwrap_or_default();
        let open: Vec<&str> = output.lines().filter(|line| line.starts_with("OPEN ")).collect();
        ensure!(open.is_empty(), "{}", open.join("; "));
        if !output.ends_with("done\n") {
            bail!("the program did not end: {job}");
        }
        ensure!(output.starts_with("held "), "the program tried nothing: {job}");
        Ok(None)
    }
}
