//! A fake ECS that gives scripted responses and records the calls.

use std::{collections::VecDeque, net::Ipv4Addr, sync::Arc, time::Duration};

use aws::compute::{EcsCompute, LaunchConfig, Providers};
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
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The response to a call.
pub(crate) enum Answer {
    /// A success with this body.
    Success(Value),
    /// An exception with this name and these fields.
    Exception(&'static str, Value),
    /// A server error.
    ServerError,
    /// No response: the caller times out.
    Timeout,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(String, Value)>>,
}

/// The fake and a port that calls it.
pub(crate) struct Ecs {
    script: Arc<Script>,
    pub(crate) compute: EcsCompute,
}

impl Ecs {
    /// Starts a fake with these responses, in order.
    pub(crate) async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::on(Providers::Fargate, answers).await
    }

    /// The same, with this capacity.
    pub(crate) async fn on(
        providers: Providers,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let script = Arc::new(Script::default());
        script.answers.lock().extend(answers);
        let router = Router::new().route("/", post(answer)).with_state(script.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let compute = EcsCompute::new(&config(endpoint), "shells".into(), Some(launch(providers)));
        Self { script, compute }
    }

    /// The recorded calls: operation and body.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.script.calls.lock().clone()
    }

    /// The value of this JSON pointer in each call.
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

fn launch(providers: Providers) -> LaunchConfig {
    LaunchConfig {
        assign_public_ip: providers == Providers::Fargate,
        providers,
        image: "default".into(),
        task_definition: "arn:shell:7".into(),
        subnets: vec!["subnet-a".into(), "subnet-b".into()],
        security_groups: [(Network::Egress, "sg-egress".to_owned())].into(),
        link: None,
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap, body: String) -> Response {
    let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap();
    let call = (operation.to_owned(), serde_json::from_str(&body).unwrap());
    script.calls.lock().push(call);
    let next = script.answers.lock().pop_front();
    let (status, body) = match next.expect("a scripted response is left") {
        Answer::Success(body) => (StatusCode::OK, body),
        Answer::Exception(name, mut fields) => {
            fields["__type"] = json!(name);
            (StatusCode::BAD_REQUEST, fields)
        }
        Answer::ServerError => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({"__type": "ServerException"}))
        }
        Answer::Timeout => std::future::pending().await,
    };
    let headers = [("content-type", "application/x-amz-json-1.1")];
    (status, headers, body.to_string()).into_response()
}
