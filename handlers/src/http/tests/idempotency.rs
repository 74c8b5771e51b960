use std::time::Duration;

use domain::message::Message;
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

const START: &str = "/v1/shell/start";

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_does_nothing() {
    let api = Api::new(Fakes::new());
    let body = json!({"webhook": {"url": "https://example.com/"}});
    let first = api.post_as("k", START, body.clone()).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = api.post_as("k", START, body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!((again.status, again.body), (first.status, first.body));
    assert_eq!(api.fakes.store.all_sessions().len(), 1);
    assert_eq!(api.messages().len(), 1);
}

#[tokio::test]
async fn the_response_to_every_post_is_stored_for_its_key() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    let api = Api::new(fakes.with_queued_job("s", "k", "true"));
    let session = session_id("s");
    let signal = format!("/v1/jobs/{}/signal", job_id("j"));
    let cancel = format!("/v1/jobs/{}/cancel", job_id("k"));
    let extend = format!("/v1/sessions/{session}/extend");
    for (path, body) in [
        (START, json!({})),
        ("/v1/shell/execute", json!({"sessionId": session, "command": "true"})),
        (signal.as_str(), json!({"signal": "TERM"})),
        (cancel.as_str(), json!({})),
        (extend.as_str(), json!({"ttlSecondsFromNow": 60})),
        ("/v1/shell/stop", json!({"sessionId": session})),
    ] {
        let first = api.post_as(path, path, body.clone()).await;
        assert!(first.status.is_success(), "{path}: {}", first.body);
        api.fakes.clock.advance(Duration::from_secs(1));
        let sent = api.messages();
        let again = api.post_as(path, path, body).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        assert_eq!((again.status, again.body), (first.status, first.body), "{path}");
        assert_eq!(api.messages(), sent, "{path}");
    }
}

#[tokio::test]
async fn another_request_with_the_same_key_is_a_mismatch() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    api.post_as("k", START, json!({})).await.expect(202);
    let other = json!({"ttlSeconds": 5});
    api.post_as("k", START, other).await.problem(422, "idempotency_mismatch");
    api.post_as("k", "/v1/shell/stop", json!({})).await.problem(422, "idempotency_mismatch");
}

#[tokio::test]
async fn a_key_is_its_users_own() {
    let api = Api::new(Fakes::new());
    api.post_as("k", START, json!({})).await.expect(202);
    let request = Request::post(START)
        .header("content-type", "application/json")
        .header("idempotency-key", "k");
    let answer = api.send(&by(&bob(), request), r#"{"ttlSeconds":5}"#).await;
    assert_eq!(answer.header("idempotent-replayed"), None);
    answer.expect(202);
}

#[tokio::test]
async fn a_key_is_free_again_after_a_day() {
    let api = Api::new(Fakes::new());
    api.post_as("k", START, json!({})).await.expect(202);
    api.fakes.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
    let replayed = api.post_as("k", START, json!({})).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    api.fakes.clock.advance(Duration::from_millis(1));
    let fresh = api.post_as("k", START, json!({"ttlSeconds": 5})).await;
    assert_eq!(fresh.header("idempotent-replayed"), None);
    fresh.expect(202);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let api = Api::new(Fakes::new());
    api.post_as("k", START, json!({"ttlSeconds": 0})).await.refused_at(&["/ttlSeconds"]);
    api.post_as("k", START, json!({})).await.expect(202);
}

#[tokio::test]
async fn a_stored_response_is_replayed_after_the_session_has_changed() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let body = json!({"sessionId": session_id("s"), "command": "true"});
    let first = api.post_as("k", "/v1/shell/execute", body.clone()).await.expect(202);
    api.post("/v1/shell/stop", json!({"sessionId": session_id("s")})).await.expect(202);
    let again = api.post_as("k", "/v1/shell/execute", body).await.expect(202);
    assert_eq!(again, first);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_get_one_response() {
    let api = Api::new(Fakes::new());
    let twin = Api::new(api.fakes.clone());
    api.fakes.gate.interleave();
    let body = json!({});
    let both =
        futures::join!(api.post_as("k", START, body.clone()), twin.post_as("k", START, body));
    let replayed = [&both.0, &both.1].map(|one| one.header("idempotent-replayed").is_some());
    assert!(replayed[0] != replayed[1]);
    assert_eq!(both.0.expect(202), both.1.expect(202));
    assert_eq!(api.fakes.store.all_sessions().len(), 1);
    assert_eq!(api.fakes.store.slots(&user_id()), 1);
}

/// The repetition finds that nothing is left for it before it finds the stored response.
#[tokio::test]
async fn a_concurrent_repetition_of_a_start_that_takes_all_that_is_left_gets_its_response() {
    let body = json!({"size": {"cpu": 256, "memoryMiB": 1024}});
    for (has_room_for_one, max_active_sessions) in [(true, 5), (false, 1)] {
        let fakes = Fakes::new();
        if has_room_for_one {
            fakes.store.limit_memory(1024);
        }
        let api = || {
            let api = Api::new(fakes.clone());
            api.with_policy(|policy| policy.max_active_sessions = max_active_sessions)
        };
        let (api, twin) = (api(), api());
        fakes.gate.interleave();
        let both = futures::join!(
            api.post_as("k", START, body.clone()),
            twin.post_as("k", START, body.clone())
        );
        assert_eq!(both.0.expect(202), both.1.expect(202));
        fakes.gate.proceed();
        api.post(START, body.clone()).await.expect(429);
        assert_eq!(fakes.store.all_sessions().len(), 1);
    }
}

#[tokio::test]
async fn a_commit_whose_result_was_lost_is_found_again() {
    let api = Api::new(Fakes::new());
    api.fakes.gate.fail(|_, action| (action == "committing").then_some(testkit::FaultPoint::After));
    api.post_as("k", START, json!({})).await.problem(503, "unavailable");
    api.fakes.gate.heal();
    let again = api.post_as("k", START, json!({})).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(api.fakes.store.all_sessions().len(), 1);
}

#[tokio::test]
async fn a_signal_is_sent_at_least_once() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_running_job("s", "j", "true"));
    let path = format!("/v1/jobs/{}/signal", job_id("j"));
    let sent = Message::SignalJob { job: job_id("j"), signal: 15 };
    api.fakes
        .gate
        .fail(|_, action| (action == "committing").then_some(testkit::FaultPoint::Before));
    api.post_as("k", &path, json!({"signal": 15})).await.problem(503, "unavailable");
    api.fakes.gate.heal();
    api.post_as("k", &path, json!({"signal": 15})).await.expect(202);
    assert_eq!(api.messages(), [sent.clone(), sent]);
}

#[tokio::test]
async fn a_strange_key_is_refused() {
    let api = Api::new(Fakes::new());
    for key in ["", " ", "a b", "ä", &"x".repeat(256)] {
        let request = Request::post(START)
            .header("content-type", "application/json")
            .header("idempotency-key", key.as_bytes());
        let answer = api.send(&as_ann(request), "{}").await;
        let errors = &answer.problem(400, "invalid_request")["errors"];
        assert_eq!(errors[0]["header"], "Idempotency-Key", "{key}");
    }
}
