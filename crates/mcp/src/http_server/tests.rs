use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::api::UnreachableError;

/// An API that can't be reached; to open a session needs none.
struct Unreachable;

#[async_trait]
impl Api for Unreachable {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, UnreachableError> {
        Err(UnreachableError("there is no API".to_owned()))
    }
}

fn post(body: &Value, headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_string())).unwrap()
}

/// The body of a request that opens a session for a client of this name.
fn opening(client: &str) -> Value {
    let params = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": client, "version": "1"},
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

async fn answer(
    server: &HttpServer,
    user: &str,
    request: Request<Full<Bytes>>,
) -> Result<Answer, SessionError> {
    server.handle(user, || Arc::new(Unreachable), request).await
}

#[tokio::test]
async fn sessions_are_limited_whatever_headers_their_requests_have_and_when_they_come() {
    let server = HttpServer::default();
    let mut requests = JoinSet::new();
    for number in 0..MAX_SESSIONS + 8 {
        let server = server.clone();
        requests.spawn(async move {
            let version = [("mcp-protocol-version", "2025-06-18")];
            let headers = if number % 2 == 0 { &version[..] } else { &[] };
            match answer(&server, "a", post(&opening("c"), headers)).await {
                Ok(response) => {
                    assert!(response.headers().contains_key(SESSION_ID), "{response:?}");
                    200
                }
                Err(error) => error.status().as_u16(),
            }
        });
    }
    let mut statuses = requests.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; MAX_SESSIONS], vec![429; 8]].concat());
    let other = answer(&server, "b", post(&opening("c"), &[])).await;
    assert!(other.is_ok(), "the limit is that of one user");
    server.close();
}

#[tokio::test]
async fn a_request_that_opens_a_session_can_not_be_long() {
    let server = HttpServer::default();
    let long = post(&opening(&"x".repeat(MAX_OPENING)), &[]);
    let refused = answer(&server, "a", long).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let short = post(&opening(&"x".repeat(MAX_OPENING / 2)), &[]);
    assert_eq!(answer(&server, "a", short).await.unwrap().status(), StatusCode::OK);
    server.close();
}

#[tokio::test]
async fn the_end_of_a_session_that_the_user_does_not_have_is_not_found() {
    let server = HttpServer::default();
    let opened = answer(&server, "a", post(&opening("c"), &[])).await.unwrap();
    let session = opened.headers()[SESSION_ID].clone();
    let end = async |user: &str| {
        let request =
            Request::delete("/mcp").header("host", "localhost").header(SESSION_ID, &session);
        let request = request.body(Full::default()).unwrap();
        match answer(&server, user, request).await {
            Ok(response) => response.status(),
            Err(error) => error.status(),
        }
    };
    assert_eq!(end("b").await, StatusCode::NOT_FOUND);
    assert_eq!(end("a").await, StatusCode::NO_CONTENT);
    assert_eq!(end("a").await, StatusCode::NOT_FOUND);
    server.close();
}

#[tokio::test]
async fn a_body_that_is_no_message_is_a_bad_request_and_no_media_type() {
    let server = HttpServer::default();
    let mut garbage = post(&json!("neither"), &[]);
    let response = answer(&server, "a", garbage).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    garbage = post(&opening("c"), &[]);
    garbage.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    let response = answer(&server, "a", garbage).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
