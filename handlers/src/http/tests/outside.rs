//! The layer around all requests: ids, unknown routes, bodies, panics, failing backends.

use serde_json::json;
use testkit::{FaultPoint, session_id};

use super::*;

#[tokio::test]
async fn a_well_formed_request_id_is_kept_and_any_other_is_replaced() {
    let api = Api::new(Fakes::new());
    let given = as_ann(Request::get("/v1/quota").header("x-request-id", "my-1.2_3"));
    let answer = api.send(&given, Body::empty()).await;
    assert_eq!(answer.header("x-request-id"), Some("my-1.2_3"));
    for strange in ["", "a b", "x\"y", &"x".repeat(129)] {
        let given = as_ann(Request::get("/v1/quota").header("x-request-id", strange));
        let answer = api.send(&given, Body::empty()).await;
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"), "{strange}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_a_problem() {
    let api = Api::new(Fakes::new());
    for path in ["/", "/v1", "/v1/nothing", "/v2/quota", "/v1/sessions/"] {
        api.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_the_allowed_ones() {
    let answer = Api::new(Fakes::new()).get("/v1/shell/start").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let api = Api::new(Fakes::new());
    let request =
        as_ann(Request::post("/v1/shell/start").header("content-type", "application/json"));
    let answer = api.send(&request, "x".repeat(BODY_LIMIT + 1)).await;
    answer.problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_with_too_large_a_content_length_is_not_read() {
    let api = Api::new(Fakes::new());
    for length in [(BODY_LIMIT + 1).to_string(), "1000000000".into(), "9".repeat(30)] {
        let request = Request::post("/v1/shell/start").header("content-length", &length);
        let unread = futures::stream::poll_fn(|_| -> std::task::Poll<Option<Result<&str, _>>> {
            std::task::Poll::Ready(Some(Err(std::io::Error::other("the body is read"))))
        });
        let answer = api.send(&as_ann(request), Body::from_stream(unread)).await;
        answer.problem(413, "payload_too_large");
    }
    let anonymous = Request::post("/v1/shell/start").header("content-length", "1000000000");
    let answer = api.send(&anonymous.body(()).unwrap(), Body::empty()).await;
    answer.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let api = Api::new(Fakes::new());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let request = as_ann(Request::post("/v1/shell/start").header("content-type", kind));
        api.send(&request, "{}").await.problem(415, "unsupported_media_type");
    }
    let kind = "application/JSON; charset=utf-8";
    let request = as_ann(Request::post("/v1/shell/start").header("content-type", kind));
    api.send(&request, "{}").await.expect(202);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    let api = Api::new(Fakes::new());
    let deep = "[".repeat(10_000);
    let latin = [b'{', b'"', 0xe9, b'"', b':', b'1', b'}'];
    for body in [b"{".as_slice(), b"nope", b"{}{}", deep.as_bytes(), &latin] {
        let request =
            as_ann(Request::post("/v1/shell/start").header("content-type", "application/json"));
        api.send(&request, body.to_vec()).await.problem(400, "malformed_json");
    }
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_refused() {
    let api = Api::new(Fakes::new());
    for body in [json!([]), json!(null), json!(1), json!("x"), json!(true)] {
        api.post("/v1/shell/start", body).await.refused_at(&[""]);
    }
}

#[tokio::test]
async fn a_failing_store_is_a_503_that_may_be_tried_again() {
    let session = format!("/v1/sessions/{}", session_id("s"));
    let stop = json!({"sessionId": session_id("s")});
    for number in 0..2 {
        let api = Api::new(Fakes::new().with_ready_session("s"));
        api.fakes.gate.fail_at(number, FaultPoint::Before);
        let answer = match number {
            0 => api.get(&session).await,
            _ => api.post("/v1/shell/stop", stop.clone()).await,
        };
        let body = answer.problem(503, "unavailable");
        assert_eq!(body["retryable"], true);
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_notification_that_can_not_be_sent_is_not_an_error() {
    let api = Api::new(Fakes::new());
    api.fakes.gate.fail(|_, action| (action == "sending a message").then_some(FaultPoint::Before));
    let accepted = api.post("/v1/shell/start", json!({})).await.expect(202);
    assert_eq!(api.messages(), []);
    api.get(accepted["links"]["session"].as_str().unwrap()).await.expect(200);
}

#[tokio::test]
async fn a_panic_does_not_reach_the_user() {
    let api = Api::new(Fakes::new());
    api.fakes.gate.fail(|_, _| panic!("a bug, made for this test"));
    let answer = api.get("/v1/quota").await;
    let body = answer.problem(500, "internal");
    assert!(!body.to_string().contains("bug"));
}

#[tokio::test]
async fn a_caller_whose_token_can_not_be_verified_gets_a_503() {
    let api = Api::new(Fakes::new());
    let request = || Request::get("/v1/quota").extension(Unidentifiable);
    let answer = api.send(&request().body(()).unwrap(), Body::empty()).await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
}
