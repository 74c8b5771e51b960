//! `GET /v1/events`.

use domain::{
    EventId, Secret, message::Message, ports::Write, user_event::UserEvent, webhook::EventType,
};
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

fn put(fakes: &Fakes, name: &str, user: UserId) {
    let event = UserEvent {
        id: EventId::from_ulid(session_id(name).ulid()),
        user,
        session: session_id("s"),
        job: Some(job_id(name)),
        event: EventType::JobCompleted,
        at: fakes.now(),
        expires_at: fakes.now(),
        body: Secret::new(json!({"type": "job.completed", "data": {"of": name}}).to_string()),
    };
    fakes.store.apply(&[Write::UserEvent(Box::new(event))]).unwrap();
}

fn names(body: &Value) -> Vec<&str> {
    let data = body["data"].as_array().unwrap();
    data.iter().map(|event| event["data"]["of"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_events_of_the_caller_are_read_in_order_from_where_the_last_request_ended() {
    let api = Api::new(Fakes::new());
    for name in ["a", "b", "c"] {
        put(&api.fakes, name, user_id());
    }
    put(&api.fakes, "d", bob());
    let first = api.get("/v1/events?limit=2").await.expect(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["data"][1]["jobId"], job_id("b").to_string());
    assert_eq!((&first["data"][1]["seq"], &first["nextAfter"]), (&json!(2), &json!(2)));
    let second = api.get("/v1/events?after=2").await.expect(200);
    assert_eq!((names(&second), &second["nextAfter"]), (vec!["c"], &json!(3)));
    let third = api.get("/v1/events?after=3").await.expect(200);
    assert_eq!((names(&third), &third["nextAfter"]), (vec![], &json!(3)));
}

#[tokio::test]
async fn a_request_waits_for_the_next_event() {
    let api = Api::new(Fakes::new());
    put(&api.fakes, "a", user_id());
    let fakes = api.fakes.clone();
    api.fakes.changes.meanwhile(move || put(&fakes, "b", user_id()));
    let next = api.get("/v1/events?after=latest&waitSeconds=20").await.expect(200);
    assert_eq!((names(&next), &next["nextAfter"]), (vec!["b"], &json!(2)));
}

#[tokio::test]
async fn a_wait_without_an_event_ends_with_the_same_position() {
    let api = Api::new(Fakes::new());
    put(&api.fakes, "a", user_id());
    let began = api.now();
    let none = api.get("/v1/events?after=latest&waitSeconds=5").await.expect(200);
    assert_eq!((names(&none), &none["nextAfter"]), (vec![], &json!(1)));
    assert_eq!(api.now().since(began).as_secs(), 5);
}

#[tokio::test]
async fn an_after_that_is_no_number_is_refused() {
    let api = Api::new(Fakes::new());
    for wrong in ["-1", "1.5", "x", "1234567890123456"] {
        let refused = api.get(&format!("/v1/events?after={wrong}")).await.expect(400);
        assert!(refused.to_string().contains("must be a number of up to 15 digits"), "{refused}");
    }
}

#[tokio::test]
async fn the_end_of_a_command_is_an_event_with_the_job() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let job =
        api.post("/v1/shell/execute", json!({"sessionId": session_id("s"), "command": "true"}));
    let job = job.await.expect(202);
    crate::handle(&api.env, Message::RunJob { session: session_id("s") }).await.unwrap();
    let events = api.get("/v1/events").await.expect(200);
    let event = &events["data"][0];
    assert_eq!((&event["type"], &event["jobId"]), (&json!("job.completed"), &job["jobId"]));
    assert_eq!(event["data"]["exitCode"], 0);
}

#[tokio::test]
async fn a_number_that_no_event_has_is_refused_at_once() {
    let api = Api::new(Fakes::new());
    put(&api.fakes, "a", user_id());
    let began = api.now();
    let refused = api.get("/v1/events?after=2&waitSeconds=20").await.expect(400);
    assert!(refused.to_string().contains("no event has this number"), "{refused}");
    assert_eq!(api.now(), began);
    api.get("/v1/events?after=1").await.expect(200);
}
