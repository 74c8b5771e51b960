//! Invalid bodies: every wrong field is reported, by its JSON pointer.

use std::time::Duration;

use serde_json::json;
use testkit::session_id;

use super::*;

#[tokio::test]
async fn all_errors_of_a_body_are_reported_at_once() {
    let api = Api::new(Fakes::new());
    let answer = api
        .post(
            "/v1/shell/start",
            json!({
                "imagee": 1, "image": "windows", "size": {"cpu": 256, "memoryMiB": 3, "gpu": 1},
                "ttlSeconds": "long", "env": {"A/B=": "x"}, "admission": "maybe",
            }),
        )
        .await;
    answer.refused_at(&[
        "/image",
        "/size",
        "/size/gpu",
        "/ttlSeconds",
        "/env/A~1B=",
        "/admission",
        "/imagee",
    ]);
    assert!(answer.body.to_string().contains("must be one of: default"));
}

#[tokio::test]
async fn wrong_fields_of_a_start_are_refused() {
    let api = Api::new(Fakes::new());
    let many: serde_json::Map<_, _> = (0..21).map(|i| (i.to_string(), json!("v"))).collect();
    let hook = |field: &str, value: Value| {
        let mut hook = json!({"url": "https://example.com/"});
        hook[field] = value;
        json!({"webhook": hook})
    };
    for (body, at) in [
        (json!({"image": 1}), "/image"),
        (json!({"size": []}), "/size"),
        (json!({"size": {"cpu": 512}}), "/size"),
        (json!({"size": {"cpu": -1}}), "/size/cpu"),
        (json!({"size": {"cpu": 1e300}}), "/size/cpu"),
        (json!({"ttlSeconds": 0}), "/ttlSeconds"),
        (json!({"ttlSeconds": 28_801}), "/ttlSeconds"),
        (json!({"ttlSeconds": 1.5}), "/ttlSeconds"),
        (json!({"idleTimeoutSeconds": 0}), "/idleTimeoutSeconds"),
        (json!({"env": {"": "x"}}), "/env/"),
        (json!({"env": {"A\u{0}": "x"}}), "/env/A\u{0}"),
        (json!({"env": {"A=B": "x"}}), "/env/A=B"),
        (json!({"env": {"A": "x\u{0}"}}), "/env/A"),
        (json!({"env": {"A": 1}}), "/env/A"),
        (json!({"metadata": many}), "/metadata"),
        (json!({"metadata": {"a": 1}}), "/metadata/a"),
        (json!({"metadata": {"": "x"}}), "/metadata/"),
        (json!({"network": "host"}), "/network"),
        (json!({"network": "egress"}), "/network"),
        (json!({"spot": "yes"}), "/spot"),
        (json!({"files": {}}), "/files"),
        (json!({"files": ["a"]}), "/files/0"),
        (json!({"files": [{"content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "", "content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "a/", "content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "a/..", "content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "a\u{0}", "content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "a".repeat(4096), "content": "x"}]}), "/files/0/path"),
        (json!({"files": [{"path": "a"}]}), "/files/0"),
        (json!({"files": [{"path": "a", "content": "x", "base64": "eA=="}]}), "/files/0"),
        (json!({"files": [{"path": "a", "base64": "e%%="}]}), "/files/0/base64"),
        (json!({"files": [{"path": "a", "base64": "eA"}]}), "/files/0/base64"),
        (json!({"files": [{"path": "a", "content": 1}]}), "/files/0/content"),
        (json!({"files": [{"path": "a", "content": "x", "mode": "4755"}]}), "/files/0/mode"),
        (json!({"files": [{"path": "a", "content": "x", "user": "root"}]}), "/files/0/user"),
        (
            json!({"files": [{"path": "a", "content": "x"}, {"path": "a", "content": "y"}]}),
            "/files/1/path",
        ),
        (
            json!({"files": [{"path": "a", "content": "x"}, {"path": ".//a", "content": "y"}]}),
            "/files/1/path",
        ),
        (json!({"files": [{"path": "a", "content": "x".repeat(65_537)}]}), "/files"),
        (json!({"files": vec![json!({"path": "a", "content": "x"}); 17]}), "/files"),
        (json!({"admission": "skip"}), "/admission"),
        (json!({"command": ""}), "/command"),
        (json!({"command": []}), "/command"),
        (json!({"command": [""]}), "/command"),
        (json!({"command": ["a", 1]}), "/command/1"),
        (json!({"command": ["a", "b\u{0}"]}), "/command/1"),
        (json!({"command": "a\u{0}b"}), "/command"),
        (json!({"command": 1}), "/command"),
        (json!({"webhook": "https://example.com/"}), "/webhook"),
        (json!({"webhook": {}}), "/webhook/url"),
        (hook("url", json!("http://example.com/")), "/webhook/url"),
        (hook("url", json!("ftp://example.com/")), "/webhook/url"),
        (hook("url", json!("/relative")), "/webhook/url"),
        (hook("url", json!("example.com")), "/webhook/url"),
        (hook("url", json!("https://")), "/webhook/url"),
        (hook("url", json!("https://u:p@example.com/")), "/webhook/url"),
        (hook("url", json!("https://example.com/#f")), "/webhook/url"),
        (hook("url", json!("https://exa mple.com/")), "/webhook/url"),
        (hook("url", json!("https://example.com:99999/")), "/webhook/url"),
        (hook("url", json!("https://example.com:abc/")), "/webhook/url"),
        (hook("url", json!("https://example.com:8861x/")), "/webhook/url"),
        (hook("url", json!("https://example.com:0/")), "/webhook/url"),
        (hook("url", json!("https://256.1.1.1/")), "/webhook/url"),
        (hook("url", json!("https://1.2.3.4.5/")), "/webhook/url"),
        (hook("url", json!("https://[fe80::1%25eth0]/")), "/webhook/url"),
        (hook("url", json!("https://[::1/")), "/webhook/url"),
        (hook("url", json!("https://exa%20mple.com/")), "/webhook/url"),
        (hook("url", json!("https://exa\tmple.com/")), "/webhook/url"),
        (hook("url", json!("https://example.com/\u{a0}")), "/webhook/url"),
        (hook("url", json!("https:\\\\example.com/")), "/webhook/url"),
        (hook("url", json!("https:/example.com/")), "/webhook/url"),
        (hook("url", json!("https:example.com")), "/webhook/url"),
        (hook("url", json!(" https://example.com/")), "/webhook/url"),
        (hook("url", json!("https://@example.com/")), "/webhook/url"),
        (hook("url", json!("https:///")), "/webhook/url"),
        (hook("events", json!("job.lost")), "/webhook/events"),
        (hook("events", json!(["job.lost", "job.found"])), "/webhook/events/1"),
        (hook("secret", json!("abc")), "/webhook/secret"),
        (hook("secret", json!("whsec_AAAA")), "/webhook/secret"),
        (hook("secret", json!(format!("whsec_{}", "!".repeat(40)))), "/webhook/secret"),
        (hook("more", json!(1)), "/webhook/more"),
    ] {
        let answer = api.post("/v1/shell/start", body.clone()).await;
        answer.refused_at(&[at]);
    }
    assert_eq!(api.fakes.store.all_sessions().len(), 0);
}

#[tokio::test]
async fn urls_that_the_deliveries_can_use_are_accepted() {
    let api = Api::new(Fakes::new()).with_policy(|policy| policy.max_active_sessions = 99);
    for url in [
        "https://example.com",
        "HTTPS://EXAMPLE.com:8443/a/b?c=d%20e&f=@",
        "https://1.2.3.4/",
        "https://[2606:4700::1111]:443/hook",
        "https://b\u{fc}cher.example/",
    ] {
        api.post("/v1/shell/start", json!({"webhook": {"url": url}})).await.expect(202);
    }
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused_at_any_depth() {
    let api = Api::new(Fakes::new());
    let answer = async |text: &'static str| {
        let request = Request::post("/v1/shell/start").header("content-type", "application/json");
        api.send(&as_ann(request), text).await
    };
    let text = r#"{"image": "default", "env": {"A": "1", "A": "2"}, "image": "default"}"#;
    answer(text).await.refused_at(&["/env/A", "/image"]);
    let text = r#"{"webhook": {"url": "https://a.example", "url": "https://a.example"}}"#;
    answer(text).await.refused_at(&["/webhook/url"]);
    assert_eq!(api.fakes.store.all_sessions().len(), 0);
}

#[tokio::test]
async fn a_response_lists_at_most_twenty_errors() {
    let api = Api::new(Fakes::new());
    let fields: serde_json::Map<_, _> = (0..5000).map(|i| (i.to_string(), json!(1))).collect();
    let answer = api.post("/v1/shell/start", fields.into()).await;
    let problem = answer.problem(400, "invalid_request");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 20);
    let query: Vec<_> = (0..500).map(|i| format!("x{i}=1")).collect();
    let answer = api.get(&format!("/v1/sessions?{}", query.join("&"))).await;
    let problem = answer.problem(400, "invalid_request");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    let api = Api::new(Fakes::new());
    let answer = async |encoding: &str| {
        let request = Request::post("/v1/shell/start").header("content-type", "application/json");
        api.send(&as_ann(request.header("content-encoding", encoding)), "{}").await
    };
    for encoding in ["gzip", "br", "identity, gzip", "x"] {
        answer(encoding).await.problem(415, "unsupported_media_type");
    }
    for encoding in ["identity", "Identity", ""] {
        answer(encoding).await.expect(202);
    }
}

#[tokio::test]
async fn an_unavailable_network_is_refused_with_the_reason() {
    let answer = Api::new(Fakes::new()).post("/v1/shell/start", json!({"network": "egress"})).await;
    answer.refused_at(&["/network"]);
    assert!(answer.text("detail").contains("this deployment has none"));
}

#[tokio::test]
async fn a_deployment_may_permit_plain_http_for_webhooks() {
    let api = Api::new(Fakes::new()).with_policy(|policy| policy.webhook_allow_private = true);
    let body = json!({"webhook": {"url": "http://127.0.0.1:9/hook"}});
    api.post("/v1/shell/start", body).await.expect(202);
}

#[tokio::test]
async fn wrong_fields_of_an_execute_are_refused() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for (field, value) in [
        ("cwd", json!("relative")),
        ("cwd", json!("")),
        ("cwd", json!("/a\u{0}")),
        ("cwd", json!(1)),
        ("env", json!([])),
        ("user", json!("")),
        ("user", json!("a:b")),
        ("user", json!("x y")),
        ("user", json!(1000)),
        ("stdin", json!(["x"])),
        ("timeoutSeconds", json!(0)),
        ("timeoutSeconds", json!(28_801)),
        ("ifNotReady", json!("wait")),
        ("concurrency", json!("some")),
        ("maxOutputBytes", json!(8_388_609)),
        ("interactive", json!("no")),
        ("keep", json!("middle")),
        ("keep", json!(true)),
        ("merge", json!("yes")),
        ("shell", json!("zsh")),
        ("shells", json!("bash")),
    ] {
        let mut body = json!({"sessionId": session_id("s"), "command": "true"});
        body[field] = value.clone();
        let answer = api.post("/v1/shell/execute", body).await;
        answer.refused_at(&[&format!("/{field}")]);
    }
    api.post("/v1/shell/execute", json!({})).await.refused_at(&["/sessionId", "/command"]);
    let body = json!({"sessionId": 5, "command": "true"});
    api.post("/v1/shell/execute", body).await.refused_at(&["/sessionId"]);
    assert_eq!(api.messages(), []);
}

#[tokio::test]
async fn a_field_that_is_too_large_is_a_400_that_names_it() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for (field, fits, too_large) in [
        ("command", json!("x".repeat(65_536)), json!("x".repeat(65_537))),
        ("command", json!(["x".repeat(65_535)]), json!(["x".repeat(30_000), "x".repeat(40_000)])),
        ("stdin", json!("x".repeat(131_072)), json!("x".repeat(131_073))),
        (
            "env",
            json!({"A": "x".repeat(60_000)}),
            json!({"A": "x".repeat(40_000), "B": "x".repeat(40_000)}),
        ),
    ] {
        let mut body = json!({"sessionId": session_id("s"), "command": "true"});
        body[field] = fits;
        api.post("/v1/shell/execute", body.clone()).await.expect(202);
        body[field] = too_large;
        let answer = api.post("/v1/shell/execute", body).await;
        answer.refused_at(&[&format!("/{field}")]);
    }
}

#[tokio::test]
async fn wrong_fields_of_a_stop_are_refused() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    api.post("/v1/shell/stop", json!({})).await.refused_at(&["/sessionId"]);
    let body = json!({"sessionId": session_id("s"), "reason": 1, "drain": "x", "force": true});
    let answer = api.post("/v1/shell/stop", body).await;
    answer.refused_at(&["/reason", "/drain", "/force"]);
}

#[tokio::test]
async fn a_refusal_does_not_repeat_the_refused_value() {
    let api = Api::new(Fakes::new());
    let secret = json!({"env": {"TOKEN": "hidden\u{0}"}, "command": "hidden\u{0}"});
    let answer = api.post("/v1/shell/start", secret).await;
    assert!(!answer.body.to_string().contains("hidden"));
    let request =
        as_ann(Request::post("/v1/shell/start").header("content-type", "application/json"));
    let answer = api.send(&request, r#"{"a": "hidden"#).await;
    assert!(!answer.problem(400, "malformed_json").to_string().contains("hidden"));
}

#[tokio::test]
async fn a_deployment_may_limit_lifetimes() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.default_ttl = Duration::from_secs(60);
        policy.max_ttl = Duration::from_secs(120);
    });
    for body in [json!({"ttlSeconds": 121}), json!({"idleTimeoutSeconds": 121})] {
        let pointer =
            if body["ttlSeconds"].is_null() { "/idleTimeoutSeconds" } else { "/ttlSeconds" };
        api.post("/v1/shell/start", body).await.refused_at(&[pointer]);
    }
    let started = api.post("/v1/shell/start", json!({})).await.expect(202);
    let session = api.get(started["links"]["session"].as_str().unwrap()).await.expect(200);
    assert_eq!(session["ttlSeconds"], 60);
}
