//! A fake of the ECS calls that ECS Exec needs.

use std::{
    collections::{HashMap, VecDeque},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use adapters::clock::SystemClock;
use adapters::shell::RunnerShell;
use aws::{compute::EcsCompute, shell::ExecDial};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::{SdkConfig, region::Region};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use ssm::server::{Opening, Session};
use testkit::RealRunner;
use tokio::{net::TcpListener, sync::Notify};

use crate::agent;

pub(crate) const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/shells/0a1b2c";
pub(crate) const CLUSTER: &str = "shells";
const TOKEN: &str = "token-of-a-session";

/// A fake ECS with one task, in which a runner runs.
pub(crate) struct Ecs {
    pub(crate) runner: Mutex<RealRunner>,
    /// Scripted errors of ExecuteCommand: name and message.
    pub(crate) refusals: Mutex<VecDeque<(&'static str, &'static str)>>,
    pub(crate) stopped: AtomicBool,
    /// Whether terminals run a program that never sends the greeting.
    pub(crate) is_slow: AtomicBool,
    /// Notified when a client opens a data channel.
    pub(crate) opened: Notify,
    /// Number of sessions so far.
    pub(crate) sessions: AtomicUsize,
    /// The programs in the terminals of the sessions.
    pub(crate) bridges: Mutex<Vec<Child>>,
    open: Mutex<HashMap<String, Session>>,
    data_channels: String,
    url: String,
}

type Answer = (StatusCode, Json<Value>);

/// The configuration of clients for this URL.
pub(crate) fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(url)
        .build()
}

impl Ecs {
    pub(crate) async fn start(runner: RealRunner) -> Arc<Self> {
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channels = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ecs = Arc::new(Self {
            runner: Mutex::new(runner),
            refusals: Mutex::default(),
            stopped: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            opened: Notify::new(),
            sessions: AtomicUsize::new(0),
            bridges: Mutex::default(),
            open: Mutex::default(),
            data_channels: format!("ws://{}/v1/data-channel", channels.local_addr().unwrap()),
            url: format!("http://{}", api.local_addr().unwrap()),
        });
        tokio::spawn(accept(Arc::clone(&ecs), channels));
        let router = Router::new().route("/", post(call)).with_state(Arc::clone(&ecs));
        tokio::spawn(async move { axum::serve(api, router).await });
        ecs
    }

    pub(crate) fn shell(&self) -> RunnerShell<ExecDial> {
        let config = config(&self.url);
        let compute = Arc::new(EcsCompute::new(&config, CLUSTER.to_owned(), None));
        let dial = ExecDial::new(&config, CLUSTER.to_owned(), compute);
        RunnerShell::new(dial, Arc::new(SystemClock))
    }

    pub(crate) fn refuse(&self, name: &'static str, message: &'static str) {
        self.refusals.lock().push_back((name, message));
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.load(SeqCst)
    }

    /// Closes all data channels, as the service may.
    pub(crate) fn close_channels(&self) {
        self.open.lock().drain().for_each(|(_, session)| session.end("the end"));
    }

    fn describe(&self) -> Answer {
        let status = if self.stopped.load(SeqCst) { "STOPPED" } else { "RUNNING" };
        let task = json!({ "taskArn": TASK, "startedBy": "sh_1", "lastStatus": status });
        (StatusCode::OK, Json(json!({ "tasks": [task], "failures": [] })))
    }

    fn execute(&self, request: &Value) -> Answer {
        assert_eq!(
            *request,
            json!({
                "cluster": CLUSTER,
                "task": TASK,
                "container": "shell",
                "interactive": true,
                "command": "/opt/ephemeral/runner --stdio",
            })
        );
        if let Some((name, message)) = self.refusals.lock().pop_front() {
            let error = json!({ "__type": name, "message": message });
            return (StatusCode::BAD_REQUEST, Json(error));
        }
        let id = format!("ecs-execute-command-{}", self.sessions.fetch_add(1, SeqCst));
        let (session, input, output) = ssm::server::session(&id, ssm::server::Options::default());
        self.bridges.lock().push(agent::run(self.bridge(), input, output));
        self.open.lock().insert(id.clone(), session);
        let url = format!("{}/{id}?role=publish_subscribe", self.data_channels);
        let session = json!({ "sessionId": id, "streamUrl": url, "tokenValue": TOKEN });
        (StatusCode::OK, Json(json!({ "session": session })))
    }

    fn bridge(&self) -> Command {
        if self.is_slow.load(SeqCst) {
            let mut slow = Command::new("sh");
            // It ends at the end line.
            slow.args(["-c", "read line; test \"$line\" = ."]);
            return slow;
        }
        let mut bridge = Command::new(RealRunner::binary().unwrap());
        bridge.arg("--stdio").arg("--socket").arg(self.runner.lock().socket());
        bridge
    }

    fn find(&self, opening: &Opening) -> Option<Session> {
        assert!(opening.token.is(TOKEN));
        self.opened.notify_one();
        self.open.lock().get(&opening.session_id).cloned()
    }
}

impl Drop for Ecs {
    fn drop(&mut self) {
        for bridge in self.bridges.get_mut() {
            // The program may have ended already.
            let _ = bridge.kill();
            let _ = bridge.wait();
        }
    }
}

async fn accept(ecs: Arc<Ecs>, channels: TcpListener) {
    while let Ok((stream, _)) = channels.accept().await {
        let ecs = Arc::clone(&ecs);
        tokio::spawn(async move { ssm::server::accept(stream, |opening| ecs.find(opening)).await });
    }
}

async fn call(State(ecs): State<Arc<Ecs>>, headers: HeaderMap, body: String) -> Answer {
    let request: Value = serde_json::from_str(&body).unwrap();
    match headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap() {
        "ExecuteCommand" => ecs.execute(&request),
        "DescribeTasks" => ecs.describe(),
        other => panic!("unexpected call of {other}"),
    }
}
