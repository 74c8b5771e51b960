//! The API calls that the measurements use.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::Connection;

/// Starts a session and returns its id without waiting for it to be ready.
pub(crate) fn start(api: &mut Connection) -> Result<String> {
    let answer = api.post("/shell/start", &json!({"ttlSeconds": 3600}))?;
    text(&answer, "sessionId")
}

/// Starts a session and waits until it is ready.
pub(crate) fn start_ready(api: &mut Connection) -> Result<String> {
    let answer = api.post("/shell/start", &json!({"ttlSeconds": 3600}))?;
    completed(&wait(api, &text(&answer, "jobId")?)?)?;
    text(&answer, "sessionId")
}

/// Starts a session of the largest size, so that its CPU limit does not bound the result, and returns its
/// id without waiting for it to be ready.
pub(crate) fn start_largest(api: &mut Connection) -> Result<String> {
    let size = json!({"cpu": 4096, "memoryMiB": 8192});
    text(&api.post("/shell/start", &json!({"size": size}))?, "sessionId")
}

/// Sends a program to a session and returns the job id.
pub(crate) fn execute(api: &mut Connection, session: &str, argv: &[&str]) -> Result<String> {
    let answer = api.post("/shell/execute", &json!({"sessionId": session, "command": argv}))?;
    text(&answer, "jobId")
}

/// Waits until a job is final.
pub(crate) fn wait(api: &mut Connection, job: &str) -> Result<Value> {
    loop {
        let value = api.get(&format!("/jobs/{job}?waitSeconds=25"))?;
        if !matches!(value["status"].as_str(), Some("queued" | "running")) {
            return Ok(value);
        }
    }
}

/// Runs a program in a session by one request that waits for its result.
pub(crate) fn run_at_once(api: &mut Connection, session: &str, argv: &[&str]) -> Result<()> {
    let body = json!({"sessionId": session, "command": argv});
    completed(&api.post("/shell/execute?waitSeconds=25", &body)?)
}

/// Runs a program in a session and waits for its result.
pub(crate) fn run(api: &mut Connection, session: &str, argv: &[&str]) -> Result<Value> {
    let job = execute(api, session, argv)?;
    let job = wait(api, &job)?;
    completed(&job)?;
    Ok(job)
}

/// Stops a session and waits for its end.
pub(crate) fn stop(api: &mut Connection, session: &str) -> Result<()> {
    let answer = api.post("/shell/stop", &json!({"sessionId": session}))?;
    completed(&wait(api, &text(&answer, "jobId")?)?)
}

/// Fails unless the job completed.
pub(crate) fn completed(job: &Value) -> Result<()> {
    ensure!(job["status"] == "completed", "a job did not complete: {job}");
    Ok(())
}

fn text(answer: &Value, name: &str) -> Result<String> {
    let text = answer[name].as_str().with_context(|| format!("no {name} in {answer}"))?;
    Ok(text.to_owned())
}
