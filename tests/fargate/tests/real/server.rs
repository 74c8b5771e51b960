//! A server in its own directory, and a client of it.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use axum::{body::Bytes, http::Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// Time limit of each wait.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(40);

/// The cluster of all tests; any name is one.
pub(crate) const CLUSTER: &str = "shells";

pub(crate) struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    dir: TempDir,
}

/// A server; `None`, with the reason printed, if the host can't isolate sandboxes.
pub(crate) async fn server() -> Option<Server> {
    server_with(&[]).await
}

pub(crate) async fn server_with(options: &[&str]) -> Option<Server> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return None;
    }
    start(tempfile::Builder::new().prefix("fargate-").tempdir().unwrap(), options).await
}

async fn start(dir: TempDir, options: &[&str]) -> Option<Server> {
    let (mut child, mut lines) = spawn(dir.path(), options);
    let Some(first) = timeout(TIME_LIMIT, lines.next_line()).await.unwrap().unwrap() else {
        let mut reason = String::new();
        child.stderr.take().unwrap().read_to_string(&mut reason).await.unwrap();
        assert!(reason.contains("can't isolate a sandbox"), "{reason}");
        println!("SKIPPED: {}", reason.trim());
        return None;
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    Some(Server { child, lines, url: url_in(&first), client, dir })
}

fn spawn(dir: &Path, options: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fargate"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn url_in(line: &str) -> String {
    let response: Value = serde_json::from_str(line).unwrap();
    response["url"].as_str().unwrap().to_owned()
}

impl Server {
    /// Calls an operation of ECS; returns its output, or the name and the body of the error.
    pub(crate) async fn call(
        &self,
        operation: &str,
        input: Value,
    ) -> Result<Value, (String, Value)> {
        let request = Request::post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonEC2ContainerServiceV20141113.{operation}"));
        let (good, response) =
            self.send(request.body(Full::from(input.to_string())).unwrap()).await;
        if good {
            Ok(response)
        } else {
            Err((response["__type"].as_str().unwrap().to_owned(), response))
        }
    }

    /// Posts to the control interface.
    pub(crate) async fn control(&self, what: &str, input: Value) -> Value {
        let request = Request::post(format!("{}/_control/{what}", self.url))
            .header("content-type", "application/json");
        let (good, response) =
            self.send(request.body(Full::from(input.to_string())).unwrap()).await;
        assert!(good, "{what}: {response}");
        response
    }

    pub(crate) async fn read(&self, what: &str) -> Value {
        let request = Request::get(format!("{}/_control/{what}", self.url));
        let (good, response) = self.send(request.body(Full::default()).unwrap()).await;
        assert!(good, "{what}: {response}");
        response
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (bool, Value) {
        let answer = timeout(TIME_LIMIT, self.client.request(request)).await.unwrap().unwrap();
        let good = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let response = serde_json::from_slice(&body);
        (
            good,
            response.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
        )
    }

    /// Runs a task; returns it from the response of RunTask.
    pub(crate) async fn run(&self, started_by: &str) -> Value {
        let mut response = self.call("RunTask", run_task(started_by)).await.unwrap();
        assert_eq!(response["failures"], json!([]));
        response["tasks"][0].take()
    }

    /// Runs a task and waits until it runs; returns its ARN.
    pub(crate) async fn running(&self, started_by: &str) -> String {
        let arn = self.run(started_by).await["taskArn"].as_str().unwrap().to_owned();
        self.until(&arn, |task| task["lastStatus"] == "RUNNING").await;
        arn
    }

    pub(crate) async fn describe(&self, arn: &str) -> Value {
        let input = json!({ "cluster": CLUSTER, "tasks": [arn] });
        let mut response = self.call("DescribeTasks", input).await.unwrap();
        assert_eq!(response["failures"], json!([]));
        response["tasks"][0].take()
    }

    /// Waits until the task satisfies the condition; returns the task.
    pub(crate) async fn until(&self, arn: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let task = self.describe(arn).await;
            if wanted(&task) {
                return task;
            }
            assert!(Instant::now() < deadline, "{task:#}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_stopped(&self, arn: &str) -> Value {
        self.until(arn, |task| task["lastStatus"] == "STOPPED").await
    }

    pub(crate) async fn stop(&self, arn: &str) -> Value {
        let input = json!({ "cluster": CLUSTER, "task": arn, "reason": "enough" });
        self.call("StopTask", input).await.unwrap()["task"].take()
    }

    /// Kills the server with SIGKILL, and starts another one on its directory.
    pub(crate) async fn replace(&mut self) {
        self.child.kill().await.unwrap();
        (self.child, self.lines) = spawn(self.dir.path(), &[]);
        let first = timeout(TIME_LIMIT, self.lines.next_line()).await.unwrap().unwrap();
        self.url = url_in(&first.unwrap());
    }

    /// Stops the server with SIGTERM; returns its exit status and its last line.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let last = timeout(TIME_LIMIT, self.lines.next_line()).await.unwrap().unwrap();
        let status = timeout(TIME_LIMIT, self.child.wait()).await.unwrap().unwrap();
        assert_nothing_left(self.dir.path());
        (status, last.unwrap_or_default())
    }
}

/// Stops the server also after a failed test, so that the server ends its sandboxes.
impl Drop for Server {
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return };
        if kill_process(pid, Signal::TERM).is_ok() {
            let deadline = Instant::now() + TIME_LIMIT;
            while self.child.try_wait().is_ok_and(|ended| ended.is_none())
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A minimal input of RunTask.
pub(crate) fn run_task(started_by: &str) -> Value {
    json!({
        "cluster": CLUSTER,
        "taskDefinition": "ephemeral-shell:7",
        "startedBy": started_by,
        "enableExecuteCommand": true,
        "capacityProviderStrategy": [{ "capacityProvider": "FARGATE", "weight": 1 }],
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-a"] } },
    })
}

/// Asserts that no mount and no process refers to the directory.
fn assert_nothing_left(dir: &Path) {
    let name = dir.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    for process in processes {
        let mounts = std::fs::read_to_string(process.join("mounts")).unwrap_or_default();
        assert!(!mounts.contains(name), "{} has a mount", process.display());
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(name), "{line} is left");
    }
}
