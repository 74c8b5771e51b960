//! The API as one user's program uses it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use client::{Client, Response, Server, text};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::wait::until;

const RETRY_DELAY: Duration = Duration::from_millis(500);
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
/// Time limit for a job or a session of a test on a slow machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An accepted session.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) session: String,
    pub(crate) job: String,
    pub(crate) command: Option<String>,
    pub(crate) webhook_secret: Option<String>,
}

/// One user of the API.
#[derive(Debug, Clone)]
pub(crate) struct User {
    client: Client,
    server: Server,
    /// How often a request is repeated whose status says that a retry may succeed.
    retries: u32,
    /// The network that starts request which name none; a deployment on AWS may demand that.
    network: Option<&'static str>,
}

impl User {
    /// `base` ends in `/v1`; without a token the requests are anonymous.
    pub(crate) fn new(base: &str, token: Option<String>) -> Result<Self> {
        let server = Server { base: base.to_owned(), token };
        Ok(Self { client: Client::new()?, server, retries: 0, network: None })
    }

    /// The URL of the server and the token, as `ephemeral` reads them from its environment.
    pub(crate) fn credentials(&self) -> Result<(&str, &str)> {
        let url = self.server.base.strip_suffix("/v1").context("the base has no version")?;
        Ok((url, self.token().context("there is no token")?))
    }

    /// The same user, whose requests have idempotency keys and are retried, as the documentation
    /// recommends.
    pub(crate) fn retrying(&self) -> Self {
        Self { retries: 60, ..self.clone() }
    }

    /// The same user, whose starts request this network if they name none.
    pub(crate) fn with_network(self, network: &'static str) -> Self {
        Self { network: Some(network), ..self }
    }

    /// The body as it is sent to this path.
    fn complete(&self, path: &str, body: &Value) -> Value {
        let mut body = body.clone();
        if let Some(network) = self.network
            && path.split('?').next() == Some("/shell/start")
            && body["network"].is_null()
        {
            body["network"] = json!(network);
        }
        body
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.server.token.as_deref()
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let mut left = self.retries;
        loop {
            let attempt = request.try_clone().context("a request without a stream")?;
            let response = Response::to(attempt).await?;
            // 409: the first request with this key is still in progress.
            if left == 0 || !matches!(response.status, 409 | 500 | 502 | 503 | 504) {
                return Ok(response);
            }
            left -= 1;
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Response> {
        if self.retries > 0 {
            let key = format!("e2e-{}", NEXT_KEY.fetch_add(1, Relaxed));
            return self.post_with_key(path, &key, body).await;
        }
        self.send(self.client.post(&self.server, path, &self.complete(path, body))).await
    }

    pub(crate) async fn post_with_key(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Response> {
        let request = self.client.post(&self.server, path, &self.complete(path, body));
        self.send(request.header("idempotency-key", key)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        self.send(self.client.get(&self.server, path)).await
    }

    /// Whether requests are retried, as they must be while faults are injected.
    pub(crate) const fn is_retrying(&self) -> bool {
        self.retries > 0
    }

    /// Sends a request for files without a body, and waits for its response where it is a job.
    pub(crate) async fn settled(&self, method: &str, path: &str) -> Result<Response> {
        let method = Method::from_bytes(method.as_bytes())?;
        let request = self.client.request(method, &self.server, path);
        let first = self.send(request).await?;
        if first.status != 202 {
            return Ok(first);
        }
        let result = text(&first.body["links"], "result")?;
        let result = format!("{}?waitSeconds=20", result.trim_start_matches("/v1"));
        until(&result, SOON, async || {
            let answer = self.get(&result).await?;
            Ok(if answer.status == 202 { Err(answer.body.to_string()) } else { Ok(answer) })
        })
        .await
    }

    /// Starts a session; returns once it is accepted.
    pub(crate) async fn start(&self, body: &Value) -> Result<Started> {
        let answer = self.post("/shell/start", body).await?.expect(202).context("start")?;
        let optional = |name: &str| answer.body[name].as_str().map(str::to_owned);
        Ok(Started {
            session: text(&answer.body, "sessionId")?,
            job: text(&answer.body, "jobId")?,
            command: optional("commandJobId"),
            webhook_secret: optional("webhookSecret"),
        })
    }

    /// Starts a session, and waits until it is ready.
    pub(crate) async fn ready(&self, body: &Value) -> Result<Started> {
        let started = self.start(body).await?;
        let job = self.finished(&started.job, SOON).await?;
        ensure!(job["status"] == "completed", "the start came out as {job}");
        Ok(started)
    }

    /// Starts a job that runs `sh -c` with this line.
    pub(crate) async fn execute(&self, session: &str, line: &str) -> Result<String> {
        self.execute_with(session, &json!({"command": line})).await
    }

    /// Starts a job with these options.
    pub(crate) async fn execute_with(&self, session: &str, body: &Value) -> Result<String> {
        let mut body = body.clone();
        body["sessionId"] = json!(session);
        let answer = self.post("/shell/execute", &body).await?.expect(202).context("execute")?;
        text(&answer.body, "jobId")
    }

    /// Runs a command that must succeed; returns its standard output.
    pub(crate) async fn output_of(&self, session: &str, line: &str) -> Result<String> {
        let job = self.execute(session, line).await?;
        let job = self.finished(&job, SOON).await?;
        ensure!(job["status"] == "completed" && job["exitCode"] == 0, "{line}: {job}");
        text(&job["stdout"], "text")
    }

    /// Waits by long-polls for the end of a job; returns its final state.
    pub(crate) async fn finished(&self, job: &str, within: Duration) -> Result<Value> {
        until(&format!("{job} to end"), within, async || {
            let answer = self.get(&format!("/jobs/{job}?waitSeconds=20")).await?.expect(200)?;
            let status = &answer.body["status"];
            let open = status == "queued" || status == "running";
            Ok(if open { Err(answer.body.to_string()) } else { Ok(answer.body) })
        })
        .await
    }

    /// Waits until a job has this status; returns the job.
    pub(crate) async fn job_is(&self, job: &str, status: &str, within: Duration) -> Result<Value> {
        until(&format!("{job} to be {status}"), within, async || {
            let answer = self.get(&format!("/jobs/{job}")).await?.expect(200)?;
            let is = answer.body["status"] == status;
            Ok(if is { Ok(answer.body) } else { Err(answer.body.to_string()) })
        })
        .await
    }

    /// Reads a whole stream of a finished job in parts of this size.
    pub(crate) async fn stream(&self, job: &str, stream: &str, part: u64) -> Result<Vec<u8>> {
        let (mut all, mut offset) = (Vec::new(), 0);
        loop {
            let path = format!("/jobs/{job}/output?stream={stream}&offset={offset}&limit={part}");
            let answer = self.get(&path).await?.expect(200)?;
            let body = &answer.body;
            let gap = &body["gap"];
            let begin = if gap["from"] == offset { &gap["to"] } else { &json!(offset) };
            ensure!(body["offset"] == *begin, "unexpected offset: {body}");
            let part_text = text(body, "text")?;
            let part = match body["encoding"].as_str() {
                Some("base64") => BASE64_STANDARD.decode(part_text)?,
                _ => part_text.into_bytes(),
            };
            offset = begin.as_u64().unwrap_or_default() + part.len() as u64;
            ensure!(body["nextOffset"] == offset, "unexpected next offset: {}", body["nextOffset"]);
            if body["complete"] == true {
                all.extend(part);
                return Ok(all);
            }
            ensure!(!part.is_empty(), "an empty part before the end");
            all.extend(part);
        }
    }

    pub(crate) async fn session(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/sessions/{id}")).await?.expect(200)?.body)
    }

    /// The session's timeline.
    pub(crate) async fn events(&self, id: &str) -> Result<Vec<Value>> {
        let answer = self.get(&format!("/sessions/{id}/events?limit=100")).await?.expect(200)?;
        answer.body["data"].as_array().cloned().context("a list")
    }

    /// Waits for the end of a session; returns its final state.
    pub(crate) async fn ended(&self, id: &str, within: Duration) -> Result<Value> {
        until(&format!("{id} to end"), within, async || {
            let session = self.session(id).await?;
            let ended = session["status"] == "stopped" || session["status"] == "failed";
            Ok(if ended { Ok(session) } else { Err(session.to_string()) })
        })
        .await
    }

    /// Requests the stop of a session; returns the job.
    pub(crate) async fn ask_to_stop(&self, id: &str) -> Result<String> {
        let answer = self.post("/shell/stop", &json!({"sessionId": id})).await?.expect(202)?;
        text(&answer.body, "jobId")
    }

    /// Stops a session and waits until it has stopped.
    pub(crate) async fn stop(&self, id: &str) -> Result<Value> {
        let job = self.ask_to_stop(id).await?;
        let job = self.finished(&job, SOON).await?;
        ensure!(job["status"] == "completed", "the stop came out as {job}");
        self.session(id).await
    }

    /// The number of sessions that count against the quota.
    pub(crate) async fn active(&self) -> Result<u64> {
        let answer = self.get("/quota").await?.expect(200)?;
        answer.body["active"].as_u64().context("a number")
    }
}
