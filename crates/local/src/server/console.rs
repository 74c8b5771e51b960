//! The console: a page that uses the API, and sign-in by a one-time code.
//!
//! A link with a code is all that is handed to a browser: the page takes the code from the part of the
//! URL behind the `#`, which no request contains, and exchanges it for a token.

use std::time::{Duration, Instant};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use domain::Secret;
use handlers::http::Caller;
use serde::Deserialize;
use serde_json::json;

pub(super) use self::codes::Codes;
use super::access;

mod codes;
mod files;

/// How long a code can be exchanged.
const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// The largest body of a sign-in. Bytes.
const BODY_LIMIT: usize = 1024;

/// The body of a sign-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    code: Secret<String>,
}

/// Adds the routes of the console to those of the API.
pub(super) fn mount(api: Router, codes: Codes) -> Router {
    let own_pages = middleware::from_fn(refuse_other_origins);
    let codes_route = post(create_code).layer(own_pages.clone()).with_state(codes.clone());
    let sign_in = post(sign_in).layer(DefaultBodyLimit::max(BODY_LIMIT));
    let sign_in = sign_in.layer(own_pages).with_state(codes);
    files::mount(api).route("/console/codes", codes_route).route("/console/sign-in", sign_in)
}

/// Answers 403 to what a browser sends for a page of another origin.
async fn refuse_other_origins(request: Request, next: Next) -> Response {
    if is_of_other_origin(request.headers()) {
        return refusal(StatusCode::FORBIDDEN, "pages of other origins can't sign in here");
    }
    next.run(request).await
}

/// Whether a browser says that the request is not from a page of this server: by `Sec-Fetch-Site`, or by
/// an `Origin` whose host is not the requested one. Programs that are no browsers send neither header.
pub(super) fn is_of_other_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return site != "same-origin";
    }
    let host = text("host").unwrap_or_default();
    let host_of = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
    text("origin").is_some_and(|origin| host_of(origin).is_none_or(|found| found != host))
}

/// `POST /console/codes`: a code for the caller's own token.
async fn create_code(
    State(codes): State<Codes>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Response {
    let (Some(Extension(Caller(user))), Some(token)) = (caller, access::bearer(&headers)) else {
        return refusal(StatusCode::UNAUTHORIZED, "send a valid token in the header Authorization");
    };
    let code = codes.create(Secret::new(token.to_owned()), Instant::now());
    tracing::info!(user = user.as_str(), "created a link to the console");
    let body = json!({"code": code.expose(), "expiresInSeconds": CODE_LIFETIME.as_secs()});
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// `POST /console/sign-in`: the token of a code, once.
async fn sign_in(
    State(codes): State<Codes>,
    body: Result<Json<SignIn>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Ok(Json(SignIn { code })) = body else {
        return refusal(StatusCode::BAD_REQUEST, "send {\"code\": …} as JSON");
    };
    match codes.redeem(code.expose(), Instant::now()) {
        Ok(Some((user, token))) => {
            tracing::info!(user = user.as_str(), "signed in to the console by a link");
            let body = json!({"token": token.expose()});
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Ok(None) => {
            refusal(StatusCode::FORBIDDEN, "the code is unknown, was used before or has expired")
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "failed to look the token of a code up; answered with 503");
            refusal(StatusCode::SERVICE_UNAVAILABLE, "a backend is unavailable; ask for a new code")
        }
    }
}

/// A problem (RFC 9457) without a kind of its own.
pub(super) fn refusal(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}

#[cfg(test)]
mod tests;
