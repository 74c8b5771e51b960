//! Between the functions and what stands for AWS: counts every call, and spoils some on demand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode},
};
use futures::stream;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::api::client;

mod faults;

pub(crate) use faults::{Fault, Faults};

/// Calls by service and operation.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// No body of ours is larger. Bytes.
const MOST: usize = 16 << 20;

#[derive(Debug, Default)]
struct Kept {
    /// Base URLs by service; the empty one is all others'.
    targets: BTreeMap<String, String>,
    counts: Counts,
    faults: Faults,
    /// Calls that were spoiled, whoever wanted it.
    spoiled: u64,
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn open() -> Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let state = (client()?, Arc::clone(&kept));
        let router = Router::new().fallback(pass).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // It ends with this process.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { url, kept, serving })
    }

    /// Where calls to a service go; those to all others, if it is empty.
    pub(crate) fn target(&self, service: &str, url: &str) {
        self.kept().targets.insert(service.to_owned(), url.to_owned());
    }

    /// What was called so far.
    pub(crate) fn counts(&self) -> Counts {
        self.kept().counts.clone()
    }

    /// What is to be spoiled from now on.
    pub(crate) fn spoil(&self, faults: Faults) {
        self.kept().faults = faults;
    }

    /// How many calls were spoiled so far.
    pub(crate) fn spoiled(&self) -> u64 {
        self.kept().spoiled
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(
    State((http, kept)): State<(reqwest::Client, Arc<Mutex<Kept>>)>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (service, operation) = called(&parts.headers);
    let (target, fault) = {
        let mut kept = lock(&kept);
        let calls = kept.counts.entry(service.clone()).or_default();
        *calls.entry(operation.clone()).or_default() += 1;
        let target = kept.targets.get(&service).or_else(|| kept.targets.get(""));
        let target = target.cloned().unwrap_or_default();
        let fault = kept.faults.of(&service, &operation);
        kept.spoiled += u64::from(fault.is_some());
        (target, fault)
    };
    match fault {
        Some(Fault::Throttled) => return refusal(StatusCode::BAD_REQUEST, "ThrottlingException"),
        Some(Fault::Broken) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");
        }
        Some(Fault::AnswerLost) | None => {}
    }
    let Ok(body) = axum::body::to_bytes(body, MOST).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge");
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let sent = http.request(parts.method, format!("{target}{path}")).headers(parts.headers);
    match forward(sent.body(body)).await {
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

/// `X-Amz-Target` is `DynamoDB_20120810.PutItem`, `AmazonSQS.SendMessage` and the like: all services that
/// our functions call have it.
fn called(headers: &HeaderMap) -> (String, String) {
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
    let body = format!(r#"{{"__type":"{error}","message":"the test's proxy says so"}}"#);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = axum::http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert("content-type", kind);
    response
}

/// An answer that breaks off: all its receiver knows is that something may have happened.
fn lost() -> Response<Body> {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
    let mut response = Response::new(Body::from_stream(broken));
    let length = axum::http::HeaderValue::from_static("1000");
    response.headers_mut().insert("content-length", length);
    response
}
