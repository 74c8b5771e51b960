//! The limits on what a user stores and queues, and the room on the disk.

use domain::{job::Status, ports::QueueLimits};
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

const EXECUTE: &str = "/v1/shell/execute";
const STOP: &str = "/v1/shell/stop";

fn execute(command: &str) -> Value {
    json!({"sessionId": session_id("s"), "command": command})
}

#[tokio::test]
async fn a_session_takes_no_more_commands_than_its_queue_holds() {
    let limits = QueueLimits { jobs: 2, bytes: 100_000 };
    let api = Api::new(Fakes::new().with_starting_session("s"))
        .with_policy(|policy| policy.queue = Some(limits));
    let first = api.post(EXECUTE, execute("true")).await.expect(202);
    api.post(EXECUTE, execute("true")).await.expect(202);
    let answer = api.post(EXECUTE, execute("true")).await;
    answer.problem(429, "queue_full");
    assert!(answer.headers.contains_key("retry-after"));
    let cancel = format!("/v1/jobs/{}/cancel", first["jobId"].as_str().unwrap());
    api.post(&cancel, json!({})).await.expect(202);
    api.post(EXECUTE, execute("true")).await.expect(202);
}

#[tokio::test]
async fn the_queue_of_a_session_is_limited_in_bytes_too() {
    let limits = QueueLimits { jobs: 100, bytes: 100_000 };
    let api = Api::new(Fakes::new().with_starting_session("s"))
        .with_policy(|policy| policy.queue = Some(limits));
    let mut large = execute("cat");
    large["stdin"] = json!("x".repeat(60_000));
    api.post(EXECUTE, large.clone()).await.expect(202);
    api.post(EXECUTE, large).await.problem(429, "queue_full");
    api.post(EXECUTE, execute("true")).await.expect(202);
}

#[tokio::test]
async fn a_user_who_stores_too_much_can_still_stop_and_cancel() {
    let limits = domain::ports::StorageLimits { user: 6000, session: 6000 };
    let api = Api::new(Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true"))
        .with_policy(|policy| policy.storage = Some(limits));
    let mut large = execute("cat");
    large["stdin"] = json!("x".repeat(3000));
    let answer = api.post(EXECUTE, large).await;
    answer.problem(429, "storage_exceeded");
    assert!(answer.headers.contains_key("retry-after"));
    let cancel = format!("/v1/jobs/{}/cancel", job_id("j"));
    api.post(&cancel, json!({})).await.expect(202);
    api.post(STOP, json!({"sessionId": session_id("s")})).await.expect(202);
}

#[tokio::test]
async fn on_a_full_disk_only_what_ends_something_is_accepted() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_running_job("s", "j", "long"));
    api.fakes.store.set_disk_full(true);
    let answer = api.post(EXECUTE, execute("true")).await;
    answer.problem(507, "insufficient_storage");
    assert!(answer.headers.contains_key("retry-after"));
    api.post("/v1/shell/start", json!({})).await.problem(507, "insufficient_storage");
    let extend = format!("/v1/sessions/{}/extend", session_id("s"));
    api.post(&extend, json!({"ttlSecondsFromNow": 7000}))
        .await
        .problem(507, "insufficient_storage");
    let job = format!("/v1/jobs/{}", job_id("j"));
    api.post(&format!("{job}/signal"), json!({"signal": "TERM"})).await.expect(202);
    for _ in 0..2 {
        // The response is not kept for the key, and the repetition does the same again.
        let request = Request::post(format!("{job}/cancel")).header("idempotency-key", "k");
        api.send(&as_ann(request), "").await.expect(202);
    }
    let stop = json!({"sessionId": session_id("s")});
    api.post(STOP, stop).await.expect(202);
    assert_eq!(api.fakes.job("j").status(), Status::Running);
}

#[tokio::test]
async fn a_caller_with_too_many_requests_gets_429_everywhere() {
    let api = Api::new(Fakes::new());
    for path in ["/v1/quota", "/v1/sessions"] {
        let request = as_ann(Request::get(path).extension(TooManyRequests));
        let answer = api.send(&request, "").await;
        answer.problem(429, "too_many_requests");
    }
}
