use axum::http::{HeaderMap, Request as HttpRequest};
use domain::UserId;

use super::*;

/// What the route answers to a request that opens a session, with these headers and as this caller.
async fn answer<E: Clone + Send + Sync + 'static>(
    known: E,
    headers: &[(&'static str, &'static str)],
) -> (u16, HeaderMap) {
    let router = mount(Router::new(), HttpServer::default(), Router::new());
    let mut request = HttpRequest::post(PATH).header("host", "localhost");
    let usual =
        [("accept", "application/json, text/event-stream"), ("content-type", "application/json")];
    for (name, value) in usual.iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let opening = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":
        {"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}"#;
    let mut request = request.body(Body::from(opening)).unwrap();
    request.extensions_mut().insert(known);
    let response = router.oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

fn caller() -> Caller {
    Caller(UserId::new("a"))
}

#[tokio::test]
async fn a_session_is_opened_for_a_caller_only() {
    let (status, headers) = answer(caller(), &[]).await;
    assert_eq!(status, 200);
    assert!(headers.contains_key("mcp-session-id"));
    let (status, headers) = answer((), &[]).await;
    assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    assert_eq!(answer(Unidentifiable, &[]).await.0, 503);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    assert_eq!(answer(caller(), &[("origin", "http://localhost")]).await.0, 200);
    assert_eq!(answer(caller(), &[("origin", "http://attacker.example")]).await.0, 403);
    assert_eq!(answer(caller(), &[("sec-fetch-site", "cross-site")]).await.0, 403);
}
