use std::time::Duration;

use domain::{Secret, process::Process};
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

fn path(session: &str, rest: &str) -> String {
    format!("/v1/sessions/{}/processes{rest}", session_id(session))
}

fn process(pid: i32) -> Process {
    Process {
        job: job_id("j"),
        pid,
        parent_pid: 1,
        user: "shelluser".into(),
        name: "sleep".into(),
        arguments: Secret::new(vec!["sleep".into(), "1000".into()]),
        arguments_truncated: false,
        started_at: Timestamp::from_millis(1_767_225_600_000),
        cpu_time: Duration::from_millis(12),
        memory_bytes: 4096,
    }
}

fn ready() -> Api {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    api.fakes.processes.put(process(7));
    api
}

#[tokio::test]
async fn processes_are_listed_with_their_job() {
    let list = ready().get(&path("s", "")).await.expect(200);
    let expected = json!({
        "pid": 7,
        "parentPid": 1,
        "jobId": job_id("j").to_string(),
        "user": "shelluser",
        "name": "sleep",
        "arguments": ["sleep", "1000"],
        "argumentsTruncated": false,
        "startedAt": "2026-01-01T00:00:00.000Z",
        "cpuMilliseconds": 12,
        "memoryBytes": 4096,
    });
    assert_eq!(list, json!({"processes": [expected], "truncated": false}));
    assert!(!format!("{:?}", process(7)).contains("1000"), "arguments are secret");
}

#[tokio::test]
async fn a_signal_is_sent_to_one_process() {
    let api = ready();
    let signal =
        async |pid: &str, body| api.post(&path("s", &format!("/{pid}/signal")), body).await;
    for pid in ["8", "0", "-7", "1.5", "x", "99999999999999999999", "%2e%2e"] {
        signal(pid, json!({"signal": "KILL"})).await.problem(404, "not_found");
    }
    let other = json!({"signal": "KILL", "startedAt": "2026-01-02T00:00:00.000Z"});
    signal("7", other).await.problem(404, "not_found");
    signal("7", json!({"signal": "STOP"})).await.problem(403, "permission_denied");
    signal("7", json!({})).await.refused_at(&["/signal"]);
    signal("7", json!({"signal": 0, "startedAt": 5})).await.refused_at(&["/signal", "/startedAt"]);
    let this = json!({"signal": "sigterm", "startedAt": "2026-01-01T00:00:00.000Z"});
    signal("7", this).await.expect(204);
    assert_eq!(api.get(&path("s", "")).await.expect(200)["processes"], json!([]));
}

#[tokio::test]
async fn a_repeated_signal_is_not_taken_for_the_first_one() {
    let api = ready();
    let body = json!({"signal": 15});
    api.post_as("k", &path("s", "/7/signal"), body.clone()).await.expect(204);
    let again = api.post_as("k", &path("s", "/7/signal"), body).await;
    again.problem(404, "not_found");
}

#[tokio::test]
async fn only_the_owner_of_a_ready_session_reaches_its_processes() {
    let fakes = Fakes::new().with_ready_session("s").with_starting_session("new");
    let api = Api::new(fakes.with_ended_session("old"));
    let refused =
        [("new", 409, "not_ready"), ("old", 410, "session_ended"), ("none", 404, "not_found")];
    for (session, status, code) in refused {
        api.get(&path(session, "")).await.problem(status, code);
        let signalled = api.post(&path(session, "/7/signal"), json!({"signal": 9})).await;
        signalled.problem(status, code);
    }
    let stranger = by(&bob(), Request::get(path("s", "")));
    api.send(&stranger, Body::empty()).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_shell_that_does_not_answer_is_a_temporary_problem() {
    let api = ready();
    api.fakes.processes.interrupt();
    api.get(&path("s", "")).await.problem(503, "unavailable");
    let signalled = api.post(&path("s", "/7/signal"), json!({"signal": 9})).await;
    signalled.problem(503, "unavailable");
}

#[tokio::test]
async fn a_deployment_without_a_way_to_shells_says_so() {
    let mut api = ready();
    api.env.processes = None;
    api.get(&path("s", "")).await.problem(501, "processes_unavailable");
    let signalled = api.post(&path("s", "/7/signal"), json!({"signal": 9})).await;
    signalled.problem(501, "processes_unavailable");
}
