use serde_json::json;

use super::*;

fn text(error: ToolError) -> String {
    let result = serde_json::to_value(error.into_result()).unwrap();
    assert_eq!(result["isError"], true);
    assert!(result.get("structuredContent").is_none(), "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

fn refusal(status: u16, retry_after: Option<&str>, body: &serde_json::Value) -> ToolError {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds);
    }
    ToolError::refused(&response.body(Bytes::from(body.to_string())).unwrap())
}

#[test]
fn a_refusal_names_its_code_and_what_to_do() {
    let problem = json!({"code": "quota_exceeded", "detail": "5 sessions are active"});
    let shown = text(refusal(429, Some("5"), &problem));
    assert!(shown.starts_with("quota_exceeded: 5 sessions are active\n"), "{shown}");
    assert!(shown.contains("`stop_shell`") && shown.ends_with("Retry after 5 s."), "{shown}");
}

#[test]
fn a_refusal_names_each_invalid_field() {
    let errors = json!([{"pointer": "/cwd", "detail": "must begin with /"}]);
    let problem = json!({"code": "invalid_request", "detail": "invalid", "errors": errors});
    assert!(text(refusal(400, None, &problem)).contains("/cwd: must begin with /"));
}

#[test]
fn a_response_that_is_no_problem_is_named_by_its_status() {
    let shown = text(refusal(502, None, &json!("Bad Gateway")));
    assert!(shown.starts_with("http_error: the server responded with 502"), "{shown}");
}
