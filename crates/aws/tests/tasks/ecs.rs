//! ECS as far as ECS Exec needs it.

use std::{
    collections::{HashMap, VecDeque},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
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
use serde_json::{Value, json};
use ssm::server::{Opening, Session};
use testkit::RealRunner;
use tokio::{net::TcpListener, sync::Notify};

use crate::agent;

pub(crate) const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/shells/0a1b2c";
pub(crate) const CLUSTER: &str = "shells";
const TOKEN: &str = "token-of-a-session";

/// One task with a runner.
pub(crate) struct Ecs {
    pub(crate) runner: Mutex<RealRunner>,
    /// Errors to give in place of sessions: name and message.
    pub(crate) refusals: Mutex<VecDeque<(&'static str, &'static str)>>,
    pub(crate) stopped: AtomicBool,
    /// Terminals in which the runner's program has not got far.
    pub(crate) is_slow: AtomicBool,
    /// A client has opened a data channel.
    pub(crate) opened: Notify,
    /// How many sessions there were.
    pub(crate) sessions: AtomicUsize,
    /// What their terminals run.
    pub(crate) bridges: Mutex<Vec<Child>>,
    open: Mutex<HashMap<String, Session>>,
    data_channels: String,
    url: String,
}

type Answer = (StatusCode, Json<Value>);

/// For clients of whatever listens there.
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
        self.refusals.lock().unwrap().push_back((name, message));
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.load(SeqCst)
    }

    /// Breaks all data channels, as if the service had closed them.
    pub(crate) fn hang_up(&self) {
        self.open.lock().unwrap().drain().for_each(|(_, session)| session.end("the end"));
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
        if let Some((name, message)) = self.refusals.lock().unwrap().pop_front() {
            let error = json!({ "__type": name, "message": message });
            return (StatusCode::BAD_REQUEST, Json(error));
        }
        let id = format!("ecs-execute-command-{}", self.sessions.fetch_add(1, SeqCst));
        let (session, input, output) = ssm::server::session(&id, ssm::server::Options::default());
        self.bridges.lock().unwrap().push(agent::run(self.bridge(), input, output));
        self.open.lock().unwrap().insert(id.clone(), session);
        let url = format!("{}/{id}?role=publish_subscribe", self.data_channels);
        let session = json!({ "sessionId": id, "streamUrl": url, "tokenValue": TOKEN });
        (StatusCode::OK, Json(json!({ "session": session })))
    }

    fn bridge(&self) -> Command {
        if self.is_slow.load(SeqCst) {
            let mut slow = Command::new("sh");
            // It will find the line that it is to end at.
            slow.args(["-c", "read line; test \"$line\" = ."]);
            return slow;
        }
        let mut bridge = Command::new(RealRunner::binary().unwrap());
        bridge.arg("--stdio").arg("--socket").arg(self.runner.lock().unwrap().socket());
        bridge
    }

    fn find(&self, opening: &Opening) -> Option<Session> {
        assert!(opening.token.is(TOKEN));
        self.opened.notify_one();
        self.open.lock().unwrap().get(&opening.session_id).cloned()
    }
}

impl Drop for Ecs {
    fn drop(&mut self) {
        for bridge in self.bridges.get_mut().unwrap() {
            // Gone already is fine too.
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
        other => panic!("{other} is not to be called"),
    }
}
