use axum::{
    http::header,
    routing::{any, get},
};
use serde_json::json;
use testkit::Fakes;

use super::{super::tests::env, *};

/// As AWS documents it, with a path and a token of ours.
const SAMPLE: &str = r#"{
  "version": "2.0",
  "routeKey": "ANY /{proxy+}",
  "rawPath": "/v1/jobs/job_1/output",
  "rawQueryString": "stream=stdout&offset=0",
  "cookies": ["cookie1", "cookie2"],
  "headers": {"accept": "a,b", "x-request-id": "r-1", "authorization": "Bearer t"},
  "queryStringParameters": {"stream": "stdout", "offset": "0"},
  "requestContext": {
    "accountId": "123456789012",
    "apiId": "api-id",
    "authorizer": {"jwt": {
      "claims": {"sub": "ann", "token_use": "access", "cognito:groups": "[a b]", "exp": "1767229200"},
      "scopes": ["scope1", "scope2"]
    }},
    "domainName": "id.execute-api.us-east-1.amazonaws.com",
    "http": {"method": "POST", "path": "/v1/jobs/job_1/output", "protocol": "HTTP/1.1",
             "sourceIp": "192.0.2.1", "userAgent": "agent"},
    "requestId": "id",
    "stage": "v1",
    "time": "12/Mar/2026:19:03:58 +0000",
    "timeEpoch": 1583348638390
  },
  "body": "aGlkZGVu",
  "isBase64Encoded": true,
  "stageVariables": null
}"#;

fn event(method: &str, path: &str, claims: Option<Value>) -> Event {
    let event = json!({
        "rawPath": path,
        "requestContext": {
            "authorizer": claims.map(|claims| json!({"jwt": {"claims": claims}})),
            "http": {"method": method},
        },
    });
    serde_json::from_value(event).unwrap()
}

fn who(claims: Option<Value>) -> Option<Caller> {
    request(event("GET", "/", claims)).extensions().get().cloned()
}

async fn call(event: Event) -> Answer {
    handle(&handlers::http::router(env(&Fakes::new())), event).await.unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let request = request(serde_json::from_str(SAMPLE).unwrap());
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "/v1/jobs/job_1/output?stream=stdout&offset=0");
    assert_eq!(request.headers()[header::ACCEPT], "a,b");
    assert_eq!(request.extensions().get(), Some(&Caller(UserId::new("ann"))));
    let body = to_bytes(request.into_body(), ANSWER).await.unwrap();
    assert_eq!(body, "hidden");
}

#[test]
fn only_the_subject_of_an_access_token_says_who_calls() {
    let ann = || Some(Caller(UserId::new("ann")));
    assert_eq!(who(Some(json!({"sub": "ann", "token_use": "access", "username": "bob"}))), ann());
    assert_eq!(who(Some(json!({"sub": "ann"}))), ann(), "other issuers have no token_use");
    assert_eq!(who(Some(json!({"sub": "ann", "token_use": "id"}))), None);
    assert_eq!(who(Some(json!({"sub": "ann", "token_use": 1}))), None);
    assert_eq!(who(Some(json!({"sub": ""}))), None);
    assert_eq!(who(Some(json!({"username": "ann", "client_id": "ann"}))), None);
    assert_eq!(who(Some(json!({}))), None);
    assert_eq!(who(None), None);
}

#[test]
fn every_path_begins_with_the_version_once() {
    for (path, wanted) in [
        ("/v1/shell/start", "/v1/shell/start"),
        ("/shell/start", "/v1/shell/start"),
        ("/v1", "/v1/v1"),
        ("/v10/x", "/v1/v10/x"),
        ("/v1/jobs/a b", "/v1/jobs/a%20b"),
        ("/v1/jobs/a%25b", "/v1/jobs/a%25b"),
        ("/v1/jobs/é?x#y", "/v1/jobs/%C3%A9%3Fx%23y"),
    ] {
        assert_eq!(uri(path, ""), wanted, "{path}");
    }
    assert_eq!(uri("/v1/sessions", "limit=2&status=a%2Cb"), "/v1/sessions?limit=2&status=a%2Cb");
}

#[tokio::test]
async fn who_shows_no_token_is_told_so() {
    let answer = call(event("GET", "/v1/sessions", None)).await;
    assert_eq!(answer.status_code, 401);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["requestId"], answer.headers["x-request-id"].as_str());
}

#[tokio::test]
async fn what_is_no_request_is_answered_too() {
    for (method, path) in [("BREW COFFEE", "/v1/sessions"), ("GET", ""), ("GET", "/v1/\u{0}")] {
        let answer = call(event(method, path, Some(json!({"sub": "ann"})))).await;
        assert!((400..500).contains(&answer.status_code), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_stream_is_refused_with_what_to_do_instead() {
    let path = format!("/v1/jobs/{}/stream", testkit::job_id("j"));
    let answer = call(event("GET", &path, Some(json!({"sub": "ann"})))).await;
    assert_eq!(answer.status_code, 406);
    assert!(answer.body.contains("waitSeconds"), "{}", answer.body);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_encoded() {
    let router = Router::new()
        .route("/v1/bytes", get(async || vec![0xff, 0x00]))
        .route("/v1/{any}", any(async || "text"));
    let answer = handle(&router, event("GET", "/v1/bytes", None)).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.is_base64_encoded), ("/wA=", true));
    let answer = handle(&router, event("GET", "/v1/text", None)).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.is_base64_encoded), ("text", false));
}

#[test]
fn an_answer_has_the_gateways_names() {
    let answer = Answer {
        status_code: 202,
        headers: [("location".to_owned(), "/v1/jobs/j".to_owned())].into(),
        body: "{}".into(),
        is_base64_encoded: false,
    };
    let wanted = json!({
        "statusCode": 202, "headers": {"location": "/v1/jobs/j"}, "body": "{}",
        "isBase64Encoded": false,
    });
    assert_eq!(serde_json::to_value(answer).unwrap(), wanted);
}
