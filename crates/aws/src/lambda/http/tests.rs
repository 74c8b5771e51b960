use axum::{
    http::header,
    routing::{any, get},
};
use serde_json::json;
use testkit::Fakes;

use super::{super::tests::env, *};

/// The event in AWS's documentation, with a path and a token of this product.
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

fn caller_of(claims: Option<Value>) -> Option<Caller> {
    request(event("GET", "/", claims)).extensions().get().cloned()
}

async fn call(event: Event) -> GatewayResponse {
    handle(&handlers::http::router(env(&Fakes::new())), event).await.unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let request = request(serde_json::from_str(SAMPLE).unwrap());
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "/v1/jobs/job_1/output?stream=stdout&offset=0");
    assert_eq!(request.headers()[header::ACCEPT], "a,b");
    assert_eq!(request.extensions().get(), Some(&Caller(UserId::new("ann"))));
    let body = to_bytes(request.into_body(), MAX_RESPONSE).await.unwrap();
    assert_eq!(body, "hidden");
}

#[test]
fn the_caller_is_the_subject_of_an_access_token() {
    let ann = || Some(Caller(UserId::new("ann")));
    assert_eq!(
        caller_of(Some(json!({"sub": "ann", "token_use": "access", "username": "bob"}))),
        ann()
    );
    assert_eq!(
        caller_of(Some(json!({"sub": "ann"}))),
        ann(),
        "tokens of other issuers have no token_use"
    );
    assert_eq!(caller_of(Some(json!({"sub": "ann", "token_use": "id"}))), None);
    assert_eq!(caller_of(Some(json!({"sub": "ann", "token_use": 1}))), None);
    assert_eq!(caller_of(Some(json!({"sub": ""}))), None);
    assert_eq!(caller_of(Some(json!({"username": "ann", "client_id": "ann"}))), None);
    assert_eq!(caller_of(Some(json!({}))), None);
    assert_eq!(caller_of(None), None);
}

#[test]
fn every_path_has_the_version_prefix_once() {
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
async fn a_request_without_a_token_is_unauthorized() {
    let response = call(event("GET", "/v1/sessions", None)).await;
    assert_eq!(response.status_code, 401);
    assert_eq!(response.headers["content-type"], "application/problem+json");
    assert_eq!(response.headers["www-authenticate"], "Bearer");
    let body: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(body["requestId"], response.headers["x-request-id"].as_str());
}

#[tokio::test]
async fn an_invalid_request_gets_a_client_error() {
    for (method, path) in [("BREW COFFEE", "/v1/sessions"), ("GET", ""), ("GET", "/v1/\u{0}")] {
        let response = call(event(method, path, Some(json!({"sub": "ann"})))).await;
        assert!((400..500).contains(&response.status_code), "{method} {path}: {response:?}");
    }
}

#[tokio::test]
async fn a_stream_is_refused_with_the_alternative() {
    let path = format!("/v1/jobs/{}/stream", testkit::job_id("j"));
    let response = call(event("GET", &path, Some(json!({"sub": "ann"})))).await;
    assert_eq!(response.status_code, 406);
    assert!(response.body.contains("waitSeconds"), "{}", response.body);
}

#[tokio::test]
async fn a_body_that_is_not_utf8_or_large_is_encoded() {
    let large = "\"".repeat(4 << 20);
    let router = Router::new()
        .route("/v1/large", get(async || large))
        .route("/v1/bytes", get(async || vec![0xff, 0x00]))
        .route("/v1/{any}", any(async || "text"));
    let response = handle(&router, event("GET", "/v1/bytes", None)).await.unwrap();
    assert_eq!((response.body.as_str(), response.is_base64_encoded), ("/wA=", true));
    let response = handle(&router, event("GET", "/v1/text", None)).await.unwrap();
    assert_eq!((response.body.as_str(), response.is_base64_encoded), ("text", false));
    let response = handle(&router, event("GET", "/v1/large", None)).await.unwrap();
    let size = serde_json::to_string(&response).unwrap().len();
    assert!(size < MAX_RESPONSE, "{size} bytes for 4 MiB of quotes");
}

#[test]
fn a_response_has_the_names_that_api_gateway_expects() {
    let response = GatewayResponse {
        status_code: 202,
        headers: [("location".to_owned(), "/v1/jobs/j".to_owned())].into(),
        body: "{}".into(),
        is_base64_encoded: false,
    };
    let wanted = json!({
        "statusCode": 202, "headers": {"location": "/v1/jobs/j"}, "body": "{}",
        "isBase64Encoded": false,
    });
    assert_eq!(serde_json::to_value(response).unwrap(), wanted);
}
