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
) -> Result<Answer, OpenError> {
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
