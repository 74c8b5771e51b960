use std::{num::NonZeroU32, time::Duration};

use domain::{SessionId, message::Message, ports::Store, session::Session, size::Network};
use serde_json::json;
use testkit::session_id;

use super::*;
use crate::MaxSize;

const START: &str = "/v1/shell/start";

fn id(body: &Value) -> SessionId {
    body["sessionId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_start_without_fields_is_accepted() {
    let api = Api::new(Fakes::new());
    let answer = api.post(START, json!({})).await;
    assert_eq!(answer.header("location"), answer.body["links"]["job"].as_str());
    assert_eq!(answer.header("retry-after"), Some("1"));
    let body = answer.expect(202);
    assert_eq!((&body["type"], &body["status"]), (&json!("start"), &json!("queued")));
    assert_eq!(api.messages(), [Message::StartSession { session: id(&body) }]);
    let job = api.get(body["links"]["job"].as_str().unwrap()).await.expect(200);
    assert_eq!(job["sessionId"], body["sessionId"]);
    let session = api.get(body["links"]["session"].as_str().unwrap()).await.expect(200);
    assert_eq!(session["status"], "queued");
    assert_eq!(session["size"], json!({"cpu": 256, "memoryMiB": 512, "diskMiB": 2048}));
    assert_eq!(session["ttlSeconds"], 3600);
    assert_eq!(session["network"], "none");
    let entries = api.fakes.store.entries(id(&body));
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn files_of_a_start_are_kept_until_they_are_written_and_never_shown() {
    let api = Api::new(Fakes::new());
    let files = json!([
        {"path": "a", "content": "hidden-content"},
        {"path": "/tmp/hidden-path", "base64": "aGlkZGVu", "mode": "0600"},
    ]);
    let body = api.post(START, json!({"files": files})).await.expect(202);
    let session = api.fakes.store.session(id(&body)).await.unwrap().unwrap().value;
    let [text, bytes] = session.files() else { panic!("two files") };
    assert_eq!(
        (text.path.as_str(), text.base64.as_str(), text.mode),
        ("a", "aGlkZGVuLWNvbnRlbnQ=", None)
    );
    assert_eq!((bytes.base64.as_str(), bytes.mode), ("aGlkZGVu", Some(0o600)));
    for path in ["session", "job"] {
        let seen = api.get(body["links"][path].as_str().unwrap()).await.expect(200).to_string();
        assert!(!seen.contains("hidden") && !seen.contains("aGlk"), "{path}: {seen}");
    }
}

#[tokio::test]
async fn a_start_needs_no_body() {
    let api = Api::new(Fakes::new());
    api.send(&as_ann(Request::post(START)), Body::empty()).await.expect(202);
}

#[tokio::test]
async fn a_deployment_that_can_not_write_files_says_so_at_once() {
    let api = Api::new(Fakes::new())
        .with_policy(|policy| policy.refused_start_files = Some("it is Tuesday".to_owned()));
    let files = json!([{"path": "a", "content": "text"}]);
    let answer = api.post(START, json!({"files": files})).await;
    let body = answer.problem(400, "invalid_request");
    assert_eq!(body["errors"][0]["pointer"], "/files", "{body}");
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("it is Tuesday"), "{body}");
    api.post(START, json!({})).await.expect(202);
}

#[tokio::test]
async fn files_that_exclude_each_other_are_refused_and_both_are_named() {
    let api = Api::new(Fakes::new());
    for (first, second, detail) in [
        ("one/a", "./one//a", r#""one/a" is the path of the file /files/1 too"#),
        ("a", "a/b/c", r#""a/b/c" needs the directory "a", which is the file /files/1"#),
        ("/a/b", "/a", r#""/a" is a directory of "/a/b", the file /files/1"#),
    ] {
        let files = ["other", first, second].map(|path| json!({"path": path, "content": "x"}));
        let answer = api.post(START, json!({"files": files})).await;
        let body = answer.problem(400, "invalid_request");
        assert_eq!(body["errors"], json!([{"pointer": "/files/2/path", "detail": detail}]));
    }
    let files = ["a", "ab", "/a/b"].map(|path| json!({"path": path, "content": "x"}));
    api.post(START, json!({"files": files})).await.expect(202);
}

#[tokio::test]
async fn a_session_shows_its_specification_but_no_secret() {
    let api = Api::new(Fakes::new()).with_policy(|policy| policy.refused_networks.clear());
    let secret = format!("whsec_{}", "QUJD".repeat(8));
    let body = api
        .post(
            START,
            json!({
                "image": "default", "size": {"cpu": 1024, "memoryMiB": 2048}, "ttlSeconds": 60,
                "idleTimeoutSeconds": 30, "env": {"TOKEN": "hidden-env"}, "metadata": {"a": "b"},
                "network": "egress", "spot": true, "admission": "queue",
                "webhook": {"url": "https://example.com/hidden-path", "secret": secret,
                            "events": ["job.failed", "job.completed", "job.failed"]},
            }),
        )
        .await
        .expect(202);
    assert!(body["webhookSecret"].is_null());
    let seen = api.get(body["links"]["session"].as_str().unwrap()).await.expect(200);
    let session = api.fakes.store.session_now(id(&body)).unwrap();
    let event = crate::view::session_event(&api.env, &session);
    for text in [seen.to_string(), event.to_string(), format!("{session:?}")] {
        assert!(!text.contains("hidden") && !text.contains("whsec_"), "{text}");
    }
    assert_eq!(
        seen["webhook"],
        json!({"events": ["job.completed", "job.failed"], "disabled": false})
    );
    assert_eq!(seen["metadata"], json!({"a": "b"}));
    assert_eq!((&seen["spot"], &seen["network"]), (&json!(true), &json!("egress")));
    assert_eq!((&seen["ttlSeconds"], &seen["idleTimeoutSeconds"]), (&json!(60), &json!(30)));
}

#[tokio::test]
async fn a_generated_webhook_secret_is_shown_once() {
    let api = Api::new(Fakes::new());
    let body = json!({"webhook": {"url": "https://example.com/"}});
    let body = api.post(START, body).await.expect(202);
    let session = api.fakes.store.session_now(id(&body)).unwrap();
    let stored = session.webhook().unwrap().secret.expose();
    assert!(stored.starts_with("whsec_"));
    assert_eq!(body["webhookSecret"], **stored);
}

#[tokio::test]
async fn a_one_shot_session_drains_from_its_start() {
    let api = Api::new(Fakes::new());
    let body = api.post(START, json!({"command": ["echo", "hi"]})).await.expect(202);
    let path = format!("/v1/jobs/{}", body["commandJobId"].as_str().unwrap());
    let job = api.get(&path).await.expect(200);
    assert_eq!((&job["type"], &job["status"]), (&json!("execute"), &json!("queued")));
    let execute = json!({"sessionId": body["sessionId"], "command": "true"});
    api.post("/v1/shell/execute", execute).await.problem(409, "session_draining");
}

#[tokio::test]
async fn the_quota_refuses_one_too_many() {
    let api = Api::new(Fakes::new());
    for _ in 0..5 {
        api.post(START, json!({})).await.expect(202);
    }
    let answer = api.post(START, json!({"admission": "reject"})).await;
    assert_eq!(answer.problem(429, "quota_exceeded")["retryable"], true);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(api.fakes.store.slots(&user_id()), 5);
    let quota = api.get("/v1/quota").await.expect(200);
    assert_eq!(quota, json!({"active": 5, "limit": 5, "queued": 0}));
    let start = Request::post(START).header("content-type", "application/json");
    api.send(&by(&bob(), start), "{}").await.expect(202);
}

#[tokio::test]
async fn above_the_quota_a_session_may_wait_for_a_slot() {
    let api = Api::new(Fakes::new()).with_policy(|policy| policy.max_active_sessions = 1);
    api.post(START, json!({})).await.expect(202);
    let mut line = Vec::new();
    for place in 1..=2 {
        let body = api.post(START, json!({"admission": "queue"})).await.expect(202);
        assert_eq!(body["position"], place);
        assert!(matches!(api.fakes.store.session_now(id(&body)), Some(Session::Waiting(_))));
        line.push(body["links"]["session"].as_str().unwrap().to_owned());
    }
    for (path, place) in line.iter().zip(1..) {
        let session = api.get(path).await.expect(200);
        assert_eq!((&session["status"], &session["position"]), (&json!("queued"), &json!(place)));
        assert!(session["expiresAt"].is_null());
    }
    let all = api.get("/v1/sessions").await.expect(200);
    let places: Vec<_> = all["data"].as_array().unwrap().iter().map(|s| &s["position"]).collect();
    assert_eq!(places, [&json!(2), &json!(1), &Value::Null]);
    let quota = api.get("/v1/quota").await.expect(200);
    assert_eq!(quota, json!({"active": 1, "limit": 1, "queued": 2}));
}

#[tokio::test]
async fn the_number_of_waiting_sessions_is_limited() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.max_active_sessions = 1;
        policy.max_waiting_sessions = 2;
    });
    let queue = json!({"admission": "queue"});
    for _ in 0..3 {
        api.post(START, queue.clone()).await.expect(202);
    }
    let answer = api.post(START, queue).await;
    let problem = answer.problem(429, "quota_exceeded");
    assert_eq!(problem["detail"], "2 sessions wait already, which is the limit");
    assert!(answer.header("retry-after").is_some());
    let quota = api.get("/v1/quota").await.expect(200);
    assert_eq!(quota, json!({"active": 1, "limit": 1, "queued": 2}));
}

#[tokio::test]
async fn a_session_that_may_wait_does_not_overtake_those_that_wait() {
    let api = Api::new(Fakes::new().with_waiting_session("w"));
    api.fakes.clock.advance(Duration::from_secs(1));
    let body = api.post(START, json!({"admission": "queue"})).await.expect(202);
    assert_eq!(body["position"], 2);
    let first = api.get(&format!("/v1/sessions/{}", session_id("w"))).await.expect(200);
    assert_eq!(first["position"], 1);
}

#[tokio::test]
async fn starts_above_the_rate_are_refused_until_a_token_is_back() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.starts_per_minute = NonZeroU32::new(2);
        policy.max_active_sessions = 3;
    });
    for key in ["a", "b", "c"] {
        api.post_as(key, START, json!({})).await.expect(202);
        api.post_as(key, START, json!({})).await.expect(202);
    }
    assert_eq!(api.fakes.store.slots(&user_id()), 3, "a repeated request starts nothing");
    api.post(START, json!({})).await.problem(429, "quota_exceeded");
    let queue = json!({"admission": "queue"});
    let answer = api.post(START, queue.clone()).await;
    let problem = answer.problem(429, "rate_limited");
    assert_eq!(problem["retryable"], true);
    let detail = "you started sessions faster than this server allows; start the next in 30 s";
    assert_eq!(problem["detail"], detail);
    assert_eq!(answer.header("retry-after"), Some("30"));
    let start = Request::post(START).header("content-type", "application/json");
    api.send(&by(&bob(), start), "{}").await.expect(202);

    api.fakes.clock.advance(Duration::from_millis(28_500));
    let answer = api.post(START, queue.clone()).await;
    answer.problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("2"));
    api.fakes.clock.advance(Duration::from_millis(1500));
    let body = api.post(START, queue.clone()).await.expect(202);
    assert_eq!(body["position"], 1, "a session that waits is a start too");
    api.post(START, queue).await.problem(429, "rate_limited");
}

#[tokio::test]
async fn without_a_rate_only_the_quota_limits_starts() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.starts_per_minute = None;
        policy.max_active_sessions = 700;
    });
    for _ in 0..700 {
        api.post(START, json!({})).await.expect(202);
    }
    api.post(START, json!({})).await.problem(429, "quota_exceeded");
}

#[tokio::test]
async fn a_full_server_refuses_a_start_or_lets_it_wait() {
    let api = Api::new(Fakes::new());
    api.fakes.store.limit_memory(1536);
    let large =
        |admission: &str| json!({"size": {"cpu": 256, "memoryMiB": 1024}, "admission": admission});
    api.post(START, large("reject")).await.expect(202);
    let answer = api.post(START, large("reject")).await;
    assert_eq!(answer.problem(429, "capacity_exceeded")["retryable"], true);
    assert!(answer.header("retry-after").is_some());
    let body = api.post(START, large("queue")).await.expect(202);
    assert_eq!(body["position"], 1);
    assert!(matches!(api.fakes.store.session_now(id(&body)), Some(Session::Waiting(_))));
    assert_eq!(api.fakes.store.slots(&user_id()), 1, "one that waits has no slot");
    api.post(START, json!({})).await.expect(202);
}

#[tokio::test]
async fn a_session_that_the_server_never_has_room_for_is_refused() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.max_size =
            MaxSize { cpu: 512, memory_mib: 2048, disk_mib: 4096, disk_in_memory: false };
    });
    for size in [
        json!({"cpu": 1024, "memoryMiB": 2048}),
        json!({"cpu": 512, "memoryMiB": 4096}),
        json!({"diskMiB": 4097}),
    ] {
        let answer = api.post(START, json!({"size": size, "admission": "queue"})).await;
        let error = &answer.problem(400, "invalid_request")["errors"][0];
        assert_eq!(error["pointer"], "/size", "{size}");
        let detail = "must not exceed the largest shell of this server: 512 units of CPU, 2048 MiB of \
                      memory, 4096 MiB of disk";
        assert_eq!(error["detail"], detail, "{size}");
    }
    for size in [json!({"cpu": 512, "memoryMiB": 2048, "diskMiB": 4096}), json!({"diskMiB": 64})] {
        api.post(START, json!({"size": size})).await.expect(202);
    }
    let session = api.post(START, json!({"size": {"diskMiB": 100}})).await.expect(202);
    let path = session["links"]["session"].as_str().unwrap();
    let size = &api.get(path).await.expect(200)["size"];
    assert_eq!(*size, json!({"cpu": 256, "memoryMiB": 512, "diskMiB": 100}));
}

#[tokio::test]
async fn a_server_that_holds_disks_in_memory_says_how_large_they_may_be() {
    let api = Api::new(Fakes::new()).with_policy(|policy| policy.max_size.disk_in_memory = true);
    api.post(START, json!({})).await.expect(202);
    api.post(START, json!({"size": {"diskMiB": 256}})).await.expect(202);
    let answer = api.post(START, json!({"size": {"diskMiB": 257}})).await;
    let problem = answer.problem(400, "invalid_request");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("at most half of memoryMiB (256)"), "{detail}");
}

#[tokio::test]
async fn a_deployment_without_the_default_network_demands_that_the_request_names_one() {
    let api = Api::new(Fakes::new()).with_policy(|policy| {
        policy.refused_networks = [(Network::None, "there is none".to_owned())].into();
    });
    let answer = api.post(START, json!({})).await;
    let body = answer.problem(400, "invalid_request");
    assert_eq!(body["errors"][0]["pointer"], "/network", "{body}");
    let detail = body["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("there is none"), "{body}");
    api.post(START, json!({"network": "none"})).await.problem(400, "invalid_request");
    api.post(START, json!({"network": "egress"})).await.expect(202);
}

#[tokio::test]
async fn a_deployment_limits_lifetimes() {
    let api = Api::new(Fakes::new())
        .with_policy(|policy| policy.max_lifetime = Some(Duration::from_mins(10)));
    api.post(START, json!({"ttlSeconds": 601})).await.problem(400, "invalid_request");
    let body = api.post(START, json!({})).await.expect(202);
    let session = api.get(body["links"]["session"].as_str().unwrap()).await.expect(200);
    assert_eq!(session["ttlSeconds"], 600, "the default is limited too");
}
