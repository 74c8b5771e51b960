//! The response to an accepted request, in a form that can be stored for its idempotency key.

use axum::{
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use domain::{JobId, ports::IdempotentResponse};
use serde::Serialize;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Status, `Location` and a JSON body.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    pub(super) body: String,
}

impl Reply {
    /// A response without a `Location`.
    pub(super) fn new(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("a response is always JSON");
        Self { status, location: None, body }
    }

    /// 200 with this body.
    pub(super) fn ok(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// 202, with the job's path as `Location`.
    pub(super) fn accepted(job: JobId, body: &impl Serialize) -> Self {
        Self { location: Some(format!("/v1/jobs/{job}")), ..Self::new(StatusCode::ACCEPTED, body) }
    }

    /// Marks a response as a replay if another response with these headers is one.
    pub(super) fn copy_replayed(from: &HeaderMap, to: &mut HeaderMap) {
        if let Some(replayed) = from.get(REPLAYED) {
            to.insert(REPLAYED, replayed.clone());
        }
    }

    /// A stored response, marked as a replay.
    pub(super) fn replay(stored: IdempotentResponse) -> Response {
        let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
        let reply = Self { status, location: stored.location, body: stored.body.into_inner() };
        let mut response = reply.into_response();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(location) = self.location {
            let location = HeaderValue::from_str(&location).expect("the path of a job is ASCII");
            headers.insert(LOCATION, location);
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
