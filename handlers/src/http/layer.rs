//! The outermost layer of every request: its id, its span, panics, and the bodies of problems.

use std::panic::AssertUnwindSafe;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tracing::Instrument;

use super::{
    extract::TooManyRequests,
    problem::{Code, Problem},
};
use crate::Env;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Handles a request within a span. The span has neither query nor body, which may hold secrets.
pub(super) async fn wrap(State(env): State<Env>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &env);
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = tracing::info_span!("request", method = %request.method(), route, request.id = %id);
    async {
        let response = if request.extensions().get::<TooManyRequests>().is_some() {
            let detail =
                "you make as many requests at once as this server allows; wait for some to end";
            Problem::new(Code::TooManyRequests, detail).into_response()
        } else {
            AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("the handler of a request panicked");
                Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            })
        };
        tracing::debug!(status = response.status().as_u16(), "answered");
        finish(response, &id)
    }
    .instrument(span)
    .await
}

/// The caller's id for the request if it is well formed, otherwise a new one.
fn request_id(headers: &HeaderMap, env: &Env) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let well_formed = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(well_formed).map_or_else(|| format!("req_{}", env.ids.ulid()), str::to_owned)
}

fn finish(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        // The framework's own answers (routing, extractors) are plain text.
        (status.is_client_error() || status.is_server_error()).then(|| Problem::of_status(status))
    });
    let value = HeaderValue::from_str(id).expect("a request id has only letters, digits, - _ .");
    if let Some(problem) = problem {
        let body = serde_json::to_string(&problem.body(id)).expect("a problem is always JSON");
        *response.status_mut() = problem.status();
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = problem.retry_after() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if problem.status() == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
    response.headers_mut().insert(REQUEST_ID, value);
    response
}
