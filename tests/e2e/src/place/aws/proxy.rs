//! A proxy between the functions and the emulators: it counts all calls and injects faults.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, request::Parts},
};
use client::http_client;
use futures::stream;
use parking_lot::{Mutex, MutexGuard};
use tokio::{net::TcpListener, task::JoinHandle};

mod capacity;
mod faults;

pub(crate) use capacity::Units;
pub(crate) use faults::{Fault, Faults};

/// Calls by service and operation.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Limit of a request body in bytes.
const MAX_BODY: usize = 16 << 20;

#[derive(Debug, Default)]
struct ProxyState {
    /// Base URLs by service; the empty name stands for all other services.
    targets: BTreeMap<String, String>,
    counts: Counts,
    units: Units,
    faults: Faults,
    /// The number of injected faults.
    injected: u64,
    /// How many frames were lost that were posted to each connection that is being lost.
    losing: BTreeMap<String, u64>,
}

/// The proxy. Dropping the value ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<ProxyState>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn open() -> Result<Self> {
        let state = Arc::new(Mutex::new(ProxyState::default()));
        let shared = (http_client()?, Arc::clone(&state));
        let router = Router::new().fallback(pass).with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // The task is aborted when the proxy is dropped.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { url, state, serving })
    }

    /// The port on which it listens.
    pub(crate) fn port(&self) -> u16 {
        let port = self.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("its URL ends with the port")
    }

    /// Sets the base URL for calls to a service; the empty name stands for all other services.
    pub(crate) fn target(&self, service: &str, url: &str) {
        self.lock().targets.insert(service.to_owned(), url.to_owned());
    }

    /// The calls so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// The capacity units of DynamoDB that were consumed so far.
    pub(crate) fn units(&self) -> Units {
        self.lock().units
    }

    /// Sets the faults to inject from now on.
    pub(crate) fn inject(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The number of faults injected so far.
    pub(crate) fn injected(&self) -> u64 {
        self.lock().injected
    }

    /// From now on, whatever is posted to this connection is accepted and lost.
    pub(crate) fn lose_posts(&self, connection: &str) {
        self.lock().losing.insert(connection.to_owned(), 0);
    }

    /// How many frames were lost that were posted to this connection.
    pub(crate) fn lost_posts(&self, connection: &str) -> u64 {
        self.lock().losing.get(connection).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, ProxyState> {
        self.state.lock()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(
    State((http, shared)): State<(reqwest::Client, Arc<Mutex<ProxyState>>)>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let connection = parts.uri.path().strip_prefix("/@connections/");
    // The only service without the header by which the others are told apart.
    let (service, operation) = connection.map_or_else(
        || called(&parts),
        |_| ("execute-api".to_owned(), "PostToConnection".to_owned()),
    );
    let (target, fault) = {
        let mut state = shared.lock();
        if let Some(lost) = connection.and_then(|connection| state.losing.get_mut(connection)) {
            *lost += 1;
            return Response::new(Body::empty());
        }
        let calls = state.counts.entry(service.clone()).or_default();
        *calls.entry(operation.clone()).or_default() += 1;
        let target = state.targets.get(&service).or_else(|| state.targets.get(""));
        let target = target.cloned().unwrap_or_default();
        let fault = state.faults.of(&service, &operation);
        state.injected += u64::from(fault.is_some());
        (target, fault)
    };
    match fault {
        Some(Fault::Throttled) => return refusal(StatusCode::BAD_REQUEST, "ThrottlingException"),
        Some(Fault::Broken) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");
        }
        Some(Fault::AnswerLost) | None => {}
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge");
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let is_metered = service == "dynamodb";
    let mut headers = parts.headers;
    // The request may become longer.
    headers.remove("content-length");
    let body = if is_metered { capacity::request(&body) } else { body };
    let sent = http.request(parts.method, format!("{target}{path}")).headers(headers).body(body);
    let answer = forward(sent).await;
    if let (true, Ok((_, _, body))) = (is_metered, &answer) {
        let consumed = capacity::consumed(&operation, body);
        let mut state = shared.lock();
        state.units.read += consumed.read;
        state.units.written += consumed.written;
    }
    match answer {
        Ok(_) if fault.is_some() => lost(),
        Ok((status, headers, body)) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response.headers_mut().remove("transfer-encoding");
            response
        }
        Err(_) => refusal(StatusCode::BAD_GATEWAY, "ServiceUnavailable"),
    }
}

async fn forward(request: reqwest::RequestBuilder) -> Result<(StatusCode, HeaderMap, Bytes)> {
    let answer = request.send().await?;
    Ok((answer.status(), answer.headers().clone(), answer.bytes().await?))
}

/// Service and operation, from a header such as `X-Amz-Target: DynamoDB_20120810.PutItem`, which all
/// services that the functions call have. Clients and shells call S3, by presigned URLs.
fn called(parts: &Parts) -> (String, String) {
    if parts.uri.query().is_some_and(|query| query.contains("X-Amz-Signature=")) {
        return ("s3".to_owned(), parts.method.to_string());
    }
    let headers = &parts.headers;
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some((service, operation)) = target.and_then(|target| target.split_once('.')) else {
        return ("unknown".to_owned(), "unknown".to_owned());
    };
    let service = match service.split('_').next().unwrap_or_default() {
        "DynamoDB" => "dynamodb",
        "AmazonSQS" => "sqs",
        "AWSStepFunctions" => "states",
        "AmazonEC2ContainerServiceV20141113" => "ecs",
        other => other,
    };
    (service.to_owned(), operation.to_owned())
}

fn refusal(status: StatusCode, error: &str) -> Response<Body> {
    let body = format!(r#"{{"__type":"{error}","message":"injected by the test's proxy"}}"#);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = axum::http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert("content-type", kind);
    response
}

/// A response that breaks off: the caller can't know whether the call had its effect.
fn lost() -> Response<Body> {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
    let mut response = Response::new(Body::from_stream(broken));
    let length = axum::http::HeaderValue::from_static("1000");
    response.headers_mut().insert("content-length", length);
    response
}
