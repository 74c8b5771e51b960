//! An ECS that gives the answers that it is told to, and remembers what it was asked.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws::compute::{EcsCompute, Launch};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use domain::size::Network;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What comes of a call.
pub(crate) enum Answer {
    /// This.
    Told(Value),
    /// An exception of this name with these fields.
    Refused(&'static str, Value),
    /// A server's error.
    Broken,
    /// Nothing, until the caller gives up.
    Silent,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(String, Value)>>,
}

/// A port on such an ECS.
pub(crate) struct Ecs {
    script: Arc<Script>,
    pub(crate) compute: EcsCompute,
}

impl Ecs {
    /// One with these answers, in order.
    pub(crate) async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script::default());
        script.answers.lock().unwrap().extend(answers);
        let router = Router::new().route("/", post(answer)).with_state(script.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let compute = EcsCompute::new(&config(endpoint), "shells".into(), Some(launch()));
        Self { script, compute }
    }

    /// What it was asked: operation and body.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.script.calls.lock().unwrap().clone()
    }

    /// This field of each call.
    pub(crate) fn asked(&self, pointer: &str) -> Vec<String> {
        let calls = self.calls();
        let asked = calls.iter().map(|(_, body)| body.pointer(pointer).cloned());
        asked.map(|value| value.unwrap().as_str().unwrap().to_owned()).collect()
    }
}

fn config(endpoint: String) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        )))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::disabled())
        .build()
}

fn launch() -> Launch {
    Launch {
        image: "default".into(),
        task_definition: "arn:shell:7".into(),
        subnets: vec!["subnet-a".into(), "subnet-b".into()],
        security_groups: [(Network::Egress, "sg-egress".to_owned())].into(),
        assign_public_ip: true,
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap, body: String) -> Response {
    let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap();
    let call = (operation.to_owned(), serde_json::from_str(&body).unwrap());
    script.calls.lock().unwrap().push(call);
    let next = script.answers.lock().unwrap().pop_front();
    let (status, body) = match next.expect("no more calls than answers") {
        Answer::Told(body) => (StatusCode::OK, body),
        Answer::Refused(name, mut fields) => {
            fields["__type"] = json!(name);
            (StatusCode::BAD_REQUEST, fields)
        }
        Answer::Broken => (StatusCode::INTERNAL_SERVER_ERROR, json!({"__type": "ServerException"})),
        Answer::Silent => std::future::pending().await,
    };
    let headers = [("content-type", "application/x-amz-json-1.1")];
    (status, headers, body.to_string()).into_response()
}
