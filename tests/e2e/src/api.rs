//! The API as one user's program sees it. Plain JSON: the server's own types stay out, so that what is
//! tested is what is written in the documentation.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

use crate::wait::until;

/// Longer than the longest poll.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
/// What a job or session of a test may take on a slow machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// A header's text; empty without one.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// This very answer if it has the status.
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        Ok(self)
    }

    /// A problem of this status and code, as RFC 9457 has it.
    pub(crate) fn problem(self, status: u16, code: &str) -> Result<Value> {
        let answer = self.expect(status)?;
        let kind = answer.header("content-type");
        ensure!(kind.starts_with("application/problem+json"), "a problem of type {kind}");
        ensure!(answer.body["code"] == code, "{} instead of {code}", answer.body["code"]);
        Ok(answer.body)
    }
}

/// A session that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) session: String,
    pub(crate) job: String,
    pub(crate) command: Option<String>,
    pub(crate) webhook_secret: Option<String>,
}

/// One user.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// How often a request is sent again whose answer says that it may succeed later.
    patience: u32,
}

impl Api {
    /// `base` ends in `/v1`; without a token nobody calls.
    pub(crate) fn new(base: &str, token: Option<String>) -> Result<Self> {
        Ok(Self { http: client()?, base: base.to_owned(), token, patience: 0 })
    }

    /// Where a program of this user's goes, and what it shows there.
    pub(crate) fn credentials(&self) -> Result<(&str, &str)> {
        let url = self.base.strip_suffix("/v1").context("the base has no version")?;
        Ok((url, self.token.as_deref().context("there is no token")?))
    }

    /// The same user, who tries again what the service could not do at once, as its documentation says:
    /// with an idempotency key.
    pub(crate) fn patient(&self) -> Self {
        Self { patience: 60, ..self.clone() }
    }

    /// What proves who calls.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Sends it as it is.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let mut left = self.patience;
        loop {
            let again = request.try_clone().context("a request that can be sent again")?;
            let answer = again.send().await?;
            let status = answer.status().as_u16();
            // 409: the first one with this key is still being worked on.
            if left > 0 && matches!(status, 409 | 500 | 502 | 503 | 504) {
                left -= 1;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            let headers = answer.headers().clone();
            let body = serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null);
            return Ok(Answer { status, headers, body });
        }
    }

    /// A request to be sent with [`send`](Self::send).
    pub(crate) fn posting(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).json(body)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let key = format!("e2e-{}", NEXT_KEY.fetch_add(1, Relaxed));
        let request = self.posting(path, body);
        let keyed = self.patience > 0;
        self.send(if keyed { request.header("idempotency-key", key) } else { request }).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Has a session accepted.
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

    /// A session that takes commands.
    pub(crate) async fn ready(&self, body: &Value) -> Result<Started> {
        let started = self.start(body).await?;
        let job = self.finished(&started.job, SOON).await?;
        ensure!(job["status"] == "completed", "the start came out as {job}");
        Ok(started)
    }

    /// Has a command accepted: `sh -c` of this line.
    pub(crate) async fn execute(&self, session: &str, line: &str) -> Result<String> {
        self.execute_with(session, &json!({"command": line})).await
    }

    /// Has a command accepted, with more to say about it.
    pub(crate) async fn execute_with(&self, session: &str, body: &Value) -> Result<String> {
        let mut body = body.clone();
        body["sessionId"] = json!(session);
        let answer = self.post("/shell/execute", &body).await?.expect(202).context("execute")?;
        text(&answer.body, "jobId")
    }

    /// Runs a command that must succeed; what it says on standard output.
    pub(crate) async fn output_of(&self, session: &str, line: &str) -> Result<String> {
        let job = self.execute(session, line).await?;
        let job = self.finished(&job, SOON).await?;
        ensure!(job["status"] == "completed" && job["exitCode"] == 0, "{line}: {job}");
        text(&job["stdout"], "text")
    }

    /// A job's last state, by long-polls.
    pub(crate) async fn finished(&self, job: &str, within: Duration) -> Result<Value> {
        until(&format!("{job} to end"), within, async || {
            let answer = self.get(&format!("/jobs/{job}?waitSeconds=20")).await?.expect(200)?;
            let status = &answer.body["status"];
            let open = status == "queued" || status == "running";
            Ok(if open { Err(answer.body.to_string()) } else { Ok(answer.body) })
        })
        .await
    }

    /// A job's status, once it is this one.
    pub(crate) async fn job_is(&self, job: &str, status: &str, within: Duration) -> Result<Value> {
        until(&format!("{job} to be {status}"), within, async || {
            let answer = self.get(&format!("/jobs/{job}")).await?.expect(200)?;
            let is = answer.body["status"] == status;
            Ok(if is { Ok(answer.body) } else { Err(answer.body.to_string()) })
        })
        .await
    }

    /// All of a stream of a finished job, part by part.
    pub(crate) async fn stream(&self, job: &str, stream: &str, part: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let offset = all.len();
            let path = format!("/jobs/{job}/output?stream={stream}&offset={offset}&limit={part}");
            let answer = self.get(&path).await?.expect(200)?;
            let body = &answer.body;
            ensure!(body["offset"] == offset, "another offset: {body}");
            let said = text(body, "text")?;
            match body["encoding"].as_str() {
                Some("base64") => all.extend(BASE64_STANDARD.decode(said)?),
                _ => all.extend(said.into_bytes()),
            }
            ensure!(body["nextOffset"] == all.len(), "another next offset: {}", body["nextOffset"]);
            if body["complete"] == true {
                return Ok(all);
            }
            ensure!(all.len() > offset, "an empty part before the end");
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

    /// The session, once it is over.
    pub(crate) async fn ended(&self, id: &str, within: Duration) -> Result<Value> {
        until(&format!("{id} to end"), within, async || {
            let session = self.session(id).await?;
            let over = session["status"] == "stopped" || session["status"] == "failed";
            Ok(if over { Ok(session) } else { Err(session.to_string()) })
        })
        .await
    }

    /// Asks for the end, without waiting; the job.
    pub(crate) async fn ask_to_stop(&self, id: &str) -> Result<String> {
        let answer = self.post("/shell/stop", &json!({"sessionId": id})).await?.expect(202)?;
        text(&answer.body, "jobId")
    }

    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(&self, id: &str) -> Result<Value> {
        let job = self.ask_to_stop(id).await?;
        let job = self.finished(&job, SOON).await?;
        ensure!(job["status"] == "completed", "the stop came out as {job}");
        self.session(id).await
    }

    /// How many sessions count against the limit.
    pub(crate) async fn active(&self) -> Result<u64> {
        let answer = self.get("/quota").await?.expect(200)?;
        answer.body["active"].as_u64().context("a number")
    }
}

/// A client that speaks plain http with this machine.
pub(crate) fn client() -> Result<reqwest::Client> {
    // Built with others who speak TLS, the client wants a provider for it even if it speaks none. Err
    // means that the process has one already.
    let _known = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy();
    Ok(http.tls_certs_only([]).build()?)
}

/// A field that is a text.
pub(crate) fn text(body: &Value, field: &str) -> Result<String> {
    let value = body[field].as_str().with_context(|| format!("no {field} in {body}"))?;
    Ok(value.to_owned())
}
