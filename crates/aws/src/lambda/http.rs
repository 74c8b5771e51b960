//! Handles requests of the HTTP API, in payload format 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::{collections::BTreeMap, fmt::Write as _};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::UserId;
use handlers::http::Caller;
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tower::ServiceExt;

/// The stage of the HTTP API, which is also the prefix of all paths.
const STAGE: &str = "/v1";
/// The largest response that Lambda accepts. Bytes.
const MAX_RESPONSE: usize = 6 * 1024 * 1024;

/// The event of a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Context,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
    authorizer: Option<Authorizer>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

#[derive(Deserialize)]
struct Authorizer {
    jwt: Option<Jwt>,
}

#[derive(Deserialize)]
struct Jwt {
    #[serde(default)]
    claims: Map<String, Value>,
}

/// The response, as API Gateway expects it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewayResponse {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

pub(super) async fn handle(router: &Router, event: Event) -> Result<GatewayResponse, Diagnostic> {
    let request = request(event);
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    Ok(gateway_response(response).await)
}

/// The request that API Gateway received.
fn request(event: Event) -> Request<Body> {
    let caller = caller(event.request_context.authorizer.as_ref());
    let body = match (event.body, event.is_base64_encoded) {
        // An invalid encoding is passed on as it is, and rejected as an invalid body.
        (Some(body), true) => BASE64_STANDARD.decode(&body).unwrap_or_else(|_| body.into_bytes()),
        (Some(body), false) => body.into_bytes(),
        (None, _) => Vec::new(),
    };
    let mut request = Request::new(Body::from(body));
    // An invalid method or path matches no route.
    *request.method_mut() = event.request_context.http.method.parse().unwrap_or(Method::OPTIONS);
    *request.uri_mut() = uri(&event.raw_path, &event.raw_query_string);
    for (name, value) in &event.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            request.headers_mut().insert(name, value);
        }
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request
}

/// The caller: the subject of the token that the authorizer of API Gateway has verified. Identity tokens of
/// the same issuer are rejected, because they are not meant for APIs; Cognito marks them by `token_use`
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html>).
fn caller(authorizer: Option<&Authorizer>) -> Option<Caller> {
    let claims = &authorizer?.jwt.as_ref()?.claims;
    if claims.get("token_use").is_some_and(|usage| usage != "access") {
        return None;
    }
    let subject = claims.get("sub")?.as_str().filter(|subject| !subject.is_empty())?;
    Some(Caller(UserId::new(subject)))
}

/// The URI of the request. API Gateway decodes the path except for percent signs, so all other characters
/// are encoded again. The path may lack the stage.
fn uri(path: &str, query: &str) -> Uri {
    let has_stage = path.strip_prefix(STAGE).is_some_and(|rest| rest.starts_with('/'));
    let mut uri = if has_stage { String::new() } else { STAGE.to_owned() };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/%-._~:@!$&'()*+,;=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("writing to a string succeeds");
        }
    }
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(query);
    }
    uri.parse().unwrap_or_default()
}

async fn gateway_response(response: Response) -> GatewayResponse {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let headers = headers.collect();
    let Ok(body) = to_bytes(body, MAX_RESPONSE).await else {
        tracing::error!(limit = MAX_RESPONSE, "a response exceeds the size that Lambda accepts");
        let status_code = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        let (headers, body) = (BTreeMap::new(), String::new());
        return GatewayResponse { status_code, headers, body, is_base64_encoded: false };
    };
    let (body, is_base64_encoded) = match String::from_utf8(body.into()) {
        // The limit holds for the JSON of the response, in which each quote takes two bytes.
        Ok(text) if text.len() <= MAX_RESPONSE / 2 => (text, false),
        Ok(text) => (BASE64_STANDARD.encode(text), true),
        Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), true),
    };
    GatewayResponse { status_code: parts.status.as_u16(), headers, body, is_base64_encoded }
}

#[cfg(test)]
mod tests;
