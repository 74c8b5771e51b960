use domain::{message::Message, session::Reason};
use serde_json::json;
use testkit::session_id;

use super::*;

const STOP: &str = "/v1/shell/stop";

fn of(session: &str) -> Value {
    json!({"sessionId": session_id(session)})
}

#[tokio::test]
async fn a_live_session_is_stopped_and_notified() {
    for fakes in [
        Fakes::new().with_waiting_session("s"),
        Fakes::new().with_queued_session("s"),
        Fakes::new().with_provisioning_session("s"),
        Fakes::new().with_starting_session("s"),
        Fakes::new().with_ready_session("s"),
    ] {
        let api = Api::new(fakes);
        let mut body = of("s");
        body["reason"] = json!("enough");
        let body = api.post(STOP, body).await.expect(202);
        assert_eq!((&body["type"], &body["status"]), (&json!("stop"), &json!("queued")));
        let session = api.fakes.session("s");
        assert_eq!(session.reason(), Some(Reason::UserStop));
        assert_eq!(json!(session.common().stop_jobs), json!([body["jobId"]]));
        assert_eq!(api.messages(), [Message::NotifySession { session: session_id("s") }]);
        let seen = api.get(&format!("/v1/sessions/{}", session_id("s"))).await.expect(200);
        assert_eq!((&seen["status"], &seen["note"]), (&json!("stopping"), &json!("enough")));
    }
}

#[tokio::test]
async fn all_stops_of_a_session_have_one_job() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let first = api.post(STOP, of("s")).await.expect(202);
    let (session, jobs) = (api.fakes.session("s"), api.fakes.store.all_jobs().len());
    for _ in 0..3 {
        let again = api.post(STOP, of("s")).await.expect(202);
        assert_eq!(again["jobId"], first["jobId"]);
    }
    assert_eq!(api.fakes.session("s"), session);
    assert_eq!(api.fakes.store.all_jobs().len(), jobs);
}

#[tokio::test]
async fn all_stops_after_the_end_have_one_job() {
    let api = Api::new(Fakes::new().with_ended_session("s"));
    let (mut stops, jobs) = (Vec::new(), api.fakes.store.all_jobs().len());
    for _ in 0..3 {
        stops.push(api.post(STOP, of("s")).await.expect(202));
    }
    assert_eq!(stops[0], stops[1]);
    assert_eq!(stops[1], stops[2]);
    assert_eq!(api.fakes.store.all_jobs().len(), jobs + 1);
}

#[tokio::test]
async fn stopping_a_stopped_session_succeeds_at_once() {
    let api = Api::new(Fakes::new().with_ended_session("s"));
    let body = api.post(STOP, of("s")).await.expect(202);
    assert_eq!(body["status"], "completed");
    let job = api.get(body["links"]["job"].as_str().unwrap()).await.expect(200);
    assert_eq!(job["status"], "completed");
    assert_eq!(api.messages(), []);
}

#[tokio::test]
async fn a_draining_session_stays_ready_and_accepts_no_more_jobs() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true"));
    let mut drain = of("s");
    drain["drain"] = json!(true);
    let body = api.post(STOP, drain.clone()).await.expect(202);
    assert_eq!(body["status"], "queued");
    let seen = api.get(&format!("/v1/sessions/{}", session_id("s"))).await.expect(200);
    assert_eq!((&seen["status"], &seen["draining"]), (&json!("ready"), &json!(true)));
    let execute = json!({"sessionId": session_id("s"), "command": "true"});
    api.post("/v1/shell/execute", execute).await.problem(409, "session_draining");
    let again = api.post(STOP, drain).await.expect(202);
    assert_eq!(again["jobId"], body["jobId"]);
    let now = api.post(STOP, of("s")).await.expect(202);
    assert_eq!(now["jobId"], body["jobId"]);
    assert_eq!(json!(api.fakes.session("s").common().stop_jobs), json!([body["jobId"]]));
    assert_eq!(api.fakes.session("s").reason(), Some(Reason::UserStop));
}

#[tokio::test]
async fn another_users_session_can_not_be_stopped() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let request = Request::post(STOP).header("content-type", "application/json");
    let answer = api.send(&by(&bob(), request), of("s").to_string()).await;
    answer.problem(404, "not_found");
    api.post(STOP, of("other")).await.problem(404, "not_found");
    assert_eq!(api.fakes.session("s").reason(), None);
}

#[tokio::test]
async fn a_record_that_changes_again_and_again_is_a_503() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let fakes = api.fakes.clone();
    api.fakes.gate.fail(move |_, action| {
        if action == "committing" {
            let _moved = fakes.clone().after("s", domain::session::Event::Warn);
        }
        None
    });
    api.post(STOP, of("s")).await.problem(503, "unavailable");
}
