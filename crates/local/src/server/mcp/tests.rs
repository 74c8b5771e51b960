use axum::http::{HeaderMap, Request as HttpRequest};
use domain::UserId;
use tokio::sync::Notify;

use super::*;

/// What the route answers to a request that opens a session, with these headers and as this caller.
async fn answer<E: Clone + Send + Sync + 'static>(
    known: E,
    headers: &[(&'static str, &'static str)],
) -> (u16, HeaderMap) {
    let router = mount(Router::new(), HttpServer::default(), Router::new());
    let mut request = post(OPENING, headers);
    request.extensions_mut().insert(known);
    let response = router.oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

const OPENING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":
    {"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}"#;

fn post(body: &'static str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = HttpRequest::post(PATH).header("host", "localhost");
    let usual =
        [("accept", "application/json, text/event-stream"), ("content-type", "application/json")];
    for (name, value) in usual.iter().chain(headers) {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body)).unwrap()
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

/// What belongs to a connection, as far as a request has it.
#[derive(Clone)]
struct OfConnection(#[expect(dead_code, reason = "only held")] Arc<()>);

#[tokio::test]
async fn a_call_that_its_client_has_abandoned_holds_no_connection() {
    let reached = Arc::new(Notify::new());
    let called = Arc::clone(&reached);
    let api = Router::new().fallback(async move || {
        called.notify_one();
        std::future::pending::<()>().await;
    });
    let server = HttpServer::default();
    let router = mount(Router::new(), server.clone(), api);
    let by_caller = |mut request: Request| {
        request.extensions_mut().insert(caller());
        request
    };
    let opened = router.clone().oneshot(by_caller(post(OPENING, &[]))).await.unwrap();
    let session = opened.headers()["mcp-session-id"].to_str().unwrap();
    let headers = [("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")];
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let accepted = router.clone().oneshot(by_caller(post(initialized, &headers))).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);

    let connection = Arc::new(());
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list"}}"#;
    let mut request = by_caller(post(call, &headers));
    request.extensions_mut().insert(OfConnection(Arc::clone(&connection)));
    let response = router.oneshot(request).await.unwrap();
    reached.notified().await;
    drop(response);
    assert_eq!(Arc::strong_count(&connection), 1);
    server.close();
}
