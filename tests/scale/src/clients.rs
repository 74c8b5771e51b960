//! The users' programs: each starts a session, runs commands, and stops it.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use fastrand::Rng;
use handlers::http::Caller;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::deployment::{Deployment, user};

/// Sessions of one user, as the default quota allows.
const SESSIONS_OF_A_USER: usize = 5;
/// How often a client asks whether its session is ready, and whether its command has ended.
const POLL_SESSION: Duration = Duration::from_secs(5);
const POLL_JOB: Duration = Duration::from_secs(1);
/// How often a request is tried that was refused for now.
const TRIES: u32 = 12;

/// How a client's session went.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// From the request to the state `ready`, as the client sees it. Seconds.
    pub(crate) ready_after: Option<f64>,
    /// From the acceptance of each command until its end was seen. Seconds.
    pub(crate) commands: Vec<f64>,
    /// Why the session was of no use to its client.
    pub(crate) failure: Option<String>,
    /// Requests that had to be repeated.
    pub(crate) repeated: u32,
}

struct Client {
    deployment: Arc<Deployment>,
    number: usize,
    rng: Rng,
    outcome: Outcome,
}

/// One session from its start to its stop, with this many commands, stopped `hold` after the last.
pub(crate) async fn session(
    deployment: Arc<Deployment>,
    number: usize,
    commands: u32,
    hold: Duration,
) -> Outcome {
    let outcome = Outcome { ready_after: None, commands: Vec::new(), failure: None, repeated: 0 };
    let mut client = Client { rng: deployment.rng(), deployment, number, outcome };
    if let Err(failure) = client.run(commands, hold).await {
        client.outcome.failure = Some(failure);
    }
    client.outcome
}

impl Client {
    async fn run(&mut self, commands: u32, hold: Duration) -> Result<(), String> {
        let begun = self.deployment.clock.seconds();
        let key = format!("start-{}", self.number);
        let started = self.post("/v1/shell/start", &json!({"ttlSeconds": 3600}), &key).await?;
        let session = started["sessionId"].as_str().unwrap_or_default().to_owned();
        loop {
            // Clients don't ask in step.
            sleep(POLL_SESSION.mul_f64(0.5 + self.rng.f64())).await;
            let record = self.get(&format!("/v1/sessions/{session}")).await?;
            match record["status"].as_str() {
                Some("ready") => break,
                Some("failed" | "stopping" | "stopped") => {
                    return Err(format!("{}: {}", record["status"], record["reason"]));
                }
                _ => {}
            }
        }
        self.outcome.ready_after = Some(self.deployment.clock.seconds() - begun);
        for command in 0..commands {
            self.command(&session, command).await?;
        }
        sleep(hold).await;
        let key = format!("stop-{}", self.number);
        self.post("/v1/shell/stop", &json!({"sessionId": session}), &key).await?;
        Ok(())
    }

    async fn command(&mut self, session: &str, command: u32) -> Result<(), String> {
        let begun = self.deployment.clock.seconds();
        let body = json!({"sessionId": session, "command": "true"});
        let key = format!("command-{}-{command}", self.number);
        let job = self.post("/v1/shell/execute", &body, &key).await?;
        let path = format!("/v1/jobs/{}", job["jobId"].as_str().unwrap_or_default());
        loop {
            sleep(POLL_JOB).await;
            let record = self.get(&path).await?;
            match record["status"].as_str() {
                Some("completed") => break,
                Some("queued" | "running") => {}
                _ => return Err(format!("a command: {}", record["status"])),
            }
        }
        self.outcome.commands.push(self.deployment.clock.seconds() - begun);
        Ok(())
    }

    async fn get(&mut self, path: &str) -> Result<Value, String> {
        self.request("GET", path, None, None).await
    }

    async fn post(&mut self, path: &str, body: &Value, key: &str) -> Result<Value, String> {
        self.request("POST", path, Some(body), Some(key)).await
    }

    /// Sends a request until it is answered, as the SDKs do.
    async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, String> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            match self.attempt(method, path, body, key).await {
                Ok(answer) => return Ok(answer),
                Err((status, detail)) if matches!(status, 429 | 500..) => {
                    last = format!("{method} of a request: {status} {detail}");
                }
                Err((status, detail)) => {
                    return Err(format!("{method} of a request: {status} {detail}"));
                }
            }
            self.outcome.repeated += 1;
            let pause = f64::from(1_u32 << attempt.min(5)) * self.rng.f64();
            sleep(Duration::from_secs_f64(pause)).await;
        }
        Err(last)
    }

    async fn attempt(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, (u16, String)> {
        if !self.deployment.quotas.requests.take() {
            return Err((429, "the gateway's limit".to_owned()));
        }
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request
            .header("Content-Type", "application/json")
            .extension(Caller(user(self.number / SESSIONS_OF_A_USER)))
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .expect("a request of known parts");
        let router = self.deployment.router.clone();
        let response = self.deployment.run("api", async |_| router.oneshot(request).await).await;
        let Ok(Ok(response)) = response else {
            return Err((503, "the function is throttled".to_owned()));
        };
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
        if status < 300 { Ok(body) } else { Err((status, body["code"].to_string())) }
    }
}
