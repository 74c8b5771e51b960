//! Requests through the whole router, on fakes. Every answer is validated against openapi.json.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use domain::{Timestamp, UserId, ports::Clock};
use serde_json::Value;
use testkit::{Fakes, user_id};
use tower::ServiceExt;

use super::*;
use crate::Policy;

mod claims;
mod contract;
mod document;
mod events;
mod execute;
mod files;
mod gap;
mod idempotency;
mod input;
mod jobs;
mod limits;
mod marks;
mod outside;
mod processes;
mod schema;
mod sessions;
mod start;
mod stop;
mod stream;
mod terminal;
mod transfers;
mod usage;
mod wait;
mod webhooks;

/// The API over fakes of all ports.
struct Api {
    fakes: Fakes,
    env: Env,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    fn new(fakes: Fakes) -> Self {
        let env = crate::tests::env(&fakes);
        Self { fakes, env }
    }

    /// Other rules of the deployment.
    fn with_policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = (*self.env.policy).clone();
        change(&mut policy);
        self.env.policy = policy.into();
        self
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&as_ann(Request::get(path)), Body::empty()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let request = as_ann(Request::post(path).header("content-type", "application/json"));
        self.send_json(&request, &body).await
    }

    /// A POST with an idempotency key.
    async fn post_as(&self, key: &str, path: &str, body: Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send_json(&as_ann(request.header("idempotency-key", key)), &body).await
    }

    /// Sends a request with this body. The document must permit a body that is accepted.
    async fn send_json(&self, request: &Request<()>, body: &Value) -> Answer {
        let answer = self.send(request, body.to_string()).await;
        if answer.status.is_success() {
            schema::check_request(request.uri().path(), body);
        }
        answer
    }

    /// Sends a request with this body, and checks the answer against the document.
    async fn send(&self, request: &Request<()>, body: impl Into<Body>) -> Answer {
        let (parts, ()) = request.clone().into_parts();
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let request = Request::from_parts(parts, body.into());
        let response = router(self.env.clone()).oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body in memory");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        schema::check_answer(method.as_str(), &path, &answer);
        answer
    }

    fn messages(&self) -> Vec<domain::message::Message> {
        self.fakes.queue.messages()
    }

    fn now(&self) -> Timestamp {
        self.fakes.clock.now()
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }

    /// The body, if the status is this one.
    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Checks that the answer is this problem.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> &Value {
        let seen = (self.status.as_u16(), self.body["code"].as_str());
        assert_eq!(seen, (status, Some(code)), "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-request-id"), self.body["requestId"].as_str());
        &self.body
    }

    /// Checks that the input was refused, and where.
    #[track_caller]
    fn refused_at(&self, pointers: &[&str]) {
        let errors = self.problem(400, "invalid_request")["errors"].as_array().expect("errors");
        let seen: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(seen, pointers, "{}", self.body);
    }
}

fn as_ann(request: axum::http::request::Builder) -> Request<()> {
    by(&user_id(), request)
}

fn by(user: &UserId, request: axum::http::request::Builder) -> Request<()> {
    request.extension(Caller(user.clone())).body(()).expect("a request")
}

/// Another user.
fn bob() -> UserId {
    UserId::new("bob")
}
