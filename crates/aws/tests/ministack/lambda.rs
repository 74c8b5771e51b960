//! Runs a function as Lambda does: a process, and the Runtime API from which it takes events
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::{collections::HashMap, net::Ipv4Addr, process::Stdio, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Time limit of one invocation, long enough for a busy machine.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of an invocation: the response, or the reported error.
pub(crate) type Outcome = Result<Value, Value>;

type Event = (Value, oneshot::Sender<Outcome>);

/// A running function.
pub(crate) struct Lambda {
    process: Child,
    events: mpsc::UnboundedSender<Event>,
}

struct Api {
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    open: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
}

impl Lambda {
    /// Starts the program as this function with only these environment variables.
    pub(crate) async fn start(function: &str, variables: &HashMap<String, String>) -> Self {
        let (events, received) = mpsc::unbounded_channel();
        let api = Api { events: received.into(), open: Mutex::default() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .with_state(Arc::new(api));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let process = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env_clear()
            .envs(variables)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", function)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("_HANDLER", function)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, events }
    }

    /// Invokes the function with this event.
    pub(crate) async fn invoke(&self, event: Value) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.events.send((event, answer)).unwrap();
        timeout(INVOCATION_TIMEOUT, answered)
            .await
            .expect("a response within the time limit")
            .expect("a response")
    }

    /// Kills the function; returns its log.
    pub(crate) async fn log(mut self) -> String {
        self.process.start_kill().unwrap();
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
        log
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let Some((event, answer)) = api.events.lock().await.recv().await else {
        // The test has ended and kills the process.
        return std::future::pending().await;
    };
    let id = api.open.lock().len().to_string();
    api.open.lock().insert(id.clone(), answer);
    let headers = [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:f"),
    ];
    (headers, Json(event)).into_response()
}

async fn answered(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) {
    complete(&api, &id, Ok(serde_json::from_str(&body).unwrap()));
}

async fn failed(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) {
    complete(&api, &id, Err(serde_json::from_str(&body).unwrap()));
}

fn complete(api: &Api, id: &str, outcome: Outcome) {
    let (taken, _) = oneshot::channel();
    let waiting = api.open.lock().insert(id.to_owned(), taken).unwrap();
    // The receiver is gone if the test timed out.
    let _timed_out = waiting.send(outcome);
}
