//! A server in a directory of its own, and a client of it.

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

/// Nothing here takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The cluster of all tests; any name is one.
pub(crate) const CLUSTER: &str = "shells";

pub(crate) struct Place {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    dir: TempDir,
}

/// A server, or `None` where the host refuses sandboxes; says so then.
pub(crate) async fn place() -> Option<Place> {
    place_with(&[]).await
}

pub(crate) async fn place_with(options: &[&str]) -> Option<Place> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return None;
    }
    start(tempfile::Builder::new().prefix("fargate-").tempdir().unwrap(), options).await
}

async fn start(dir: TempDir, options: &[&str]) -> Option<Place> {
    let (mut child, mut lines) = spawn(dir.path(), options);
    let Some(first) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() else {
        let mut reason = String::new();
        child.stderr.take().unwrap().read_to_string(&mut reason).await.unwrap();
        assert!(reason.contains("can't isolate a sandbox"), "{reason}");
        println!("SKIPPED: {}", reason.trim());
        return None;
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    Some(Place { child, lines, url: url_in(&first), client, dir })
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
    let told: Value = serde_json::from_str(line).unwrap();
    told["url"].as_str().unwrap().to_owned()
}

impl Place {
    /// An operation of ECS: the answer, or the error's name and all of it.
    pub(crate) async fn call(
        &self,
        operation: &str,
        input: Value,
    ) -> Result<Value, (String, Value)> {
        let request = Request::post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonEC2ContainerServiceV20141113.{operation}"));
        let (good, told) = self.send(request.body(Full::from(input.to_string())).unwrap()).await;
        if good { Ok(told) } else { Err((told["__type"].as_str().unwrap().to_owned(), told)) }
    }

    /// Of tests only.
    pub(crate) async fn control(&self, what: &str, input: Value) -> Value {
        let request = Request::post(format!("{}/_control/{what}", self.url))
            .header("content-type", "application/json");
        let (good, told) = self.send(request.body(Full::from(input.to_string())).unwrap()).await;
        assert!(good, "{what}: {told}");
        told
    }

    pub(crate) async fn look(&self, what: &str) -> Value {
        let request = Request::get(format!("{}/_control/{what}", self.url));
        let (good, told) = self.send(request.body(Full::default()).unwrap()).await;
        assert!(good, "{what}: {told}");
        told
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (bool, Value) {
        let answer = timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap();
        let good = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let told = serde_json::from_slice(&body);
        (good, told.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
    }

    /// Runs one task and answers it as it was answered.
    pub(crate) async fn run(&self, started_by: &str) -> Value {
        let mut told = self.call("RunTask", run_task(started_by)).await.unwrap();
        assert_eq!(told["failures"], json!([]));
        told["tasks"][0].take()
    }

    /// Its ARN, once it runs.
    pub(crate) async fn running(&self, started_by: &str) -> String {
        let arn = self.run(started_by).await["taskArn"].as_str().unwrap().to_owned();
        self.until(&arn, |task| task["lastStatus"] == "RUNNING").await;
        arn
    }

    pub(crate) async fn describe(&self, arn: &str) -> Value {
        let input = json!({ "cluster": CLUSTER, "tasks": [arn] });
        let mut told = self.call("DescribeTasks", input).await.unwrap();
        assert_eq!(told["failures"], json!([]));
        told["tasks"][0].take()
    }

    /// The task as soon as it is as wanted.
    pub(crate) async fn until(&self, arn: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
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

    /// Kills the server, which ends nothing else, and starts another on its directory.
    pub(crate) async fn replace(&mut self) {
        self.child.kill().await.unwrap();
        (self.child, self.lines) = spawn(self.dir.path(), &[]);
        let first = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap();
        self.url = url_in(&first.unwrap());
    }

    /// Asks the server to end. Answers how it did, and its last line.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let last = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_nothing_left(self.dir.path());
        (status, last.unwrap_or_default())
    }
}

/// Also after a failure. What it left is taken away by asking it to end.
impl Drop for Place {
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return };
        if kill_process(pid, Signal::TERM).is_ok() {
            let deadline = Instant::now() + PATIENCE;
            while self.child.try_wait().is_ok_and(|ended| ended.is_none())
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The least that RunTask takes.
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

/// No mount, and no process, has to do with the directory.
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
