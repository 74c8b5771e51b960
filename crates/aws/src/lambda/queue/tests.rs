use domain::task::{StopCode, TaskStatus};
use serde_json::{Value, json};
use testkit::{Fakes, session_id};

use super::{super::tests::env, *};

fn batch(bodies: &[Value]) -> Batch {
    let records = bodies.iter().enumerate().map(|(at, body)| {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        json!({"messageId": at.to_string(), "receiptHandle": "r", "body": body, "eventSource": "aws:sqs"})
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

/// A task event as EventBridge sends it.
fn event(detail: &Value) -> Value {
    json!({
        "version": "0",
        "id": "3317b2af-7005-947d-b652-f55e762e571a",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "111122223333",
        "time": "2026-01-23T17:57:58Z",
        "region": "us-west-2",
        "resources": ["arn:aws:ecs:us-west-2:111122223333:task/shells/c13b4cb40f1f4fe4a2971f76ae5a47ad"],
        "detail": detail,
    })
}

fn detail(started_by: &str) -> Value {
    json!({
        "clusterArn": "arn:aws:ecs:us-west-2:111122223333:cluster/shells",
        "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/shells/c13b4cb40f1f4fe4a2971f76ae5a47ad",
        "startedBy": started_by,
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "UserInitiated",
        "stoppedReason": "user_stop",
        "containers": [],
        "version": 4,
        "updatedAt": "2026-01-23T17:57:58.103Z",
    })
}

fn failed(ids: &[&str]) -> BatchResponse {
    let items = ids.iter().map(|id| ItemFailure { item_identifier: (*id).to_owned() });
    BatchResponse { batch_item_failures: items.collect() }
}

#[test]
fn a_message_is_decoded_as_it_was_sent() {
    let message = Message::RunJob { session: session_id("s") };
    assert_eq!(decode(&serde_json::to_string(&message).unwrap()), Ok(Some(message)));
}

#[test]
fn a_tasks_event_becomes_its_facts() {
    let read = decode(&event(&detail("sh_1")).to_string()).unwrap();
    let Some(Message::TaskEvent { facts }) = read else { panic!("{read:?}") };
    assert_eq!((facts.started_by.as_str(), facts.version), ("sh_1", 4));
    assert_eq!(facts.status, TaskStatus::Stopped);
    assert_eq!(facts.stop.unwrap().code, StopCode::Requested);
}

#[test]
fn the_event_of_a_task_without_started_by_is_ignored() {
    let mut foreign = detail("");
    foreign.as_object_mut().unwrap().remove("startedBy");
    assert_eq!(decode(&event(&foreign).to_string()), Ok(None));
}

#[test]
fn any_other_body_is_an_error() {
    let mut other = event(&detail("sh_1"));
    other["detail-type"] = json!("ECS Deployment State Change");
    let unknown = json!({"type": "makeCoffee"});
    for body in ["", "planted-marker", "[]", &other.to_string(), &unknown.to_string()] {
        assert_eq!(decode(body), Err(DecodeError), "{body}");
    }
}

#[tokio::test]
async fn only_failed_messages_are_delivered_again() {
    let fakes = Fakes::new().with_queued_session("s");
    let start = |name| json!(Message::StartSession { session: session_id(name) });
    let bodies = [json!("garbage"), start("s"), start("unknown")];
    assert_eq!(handle(&env(&fakes), batch(&bodies)).await.unwrap(), failed(&["0", "2"]));
    assert_eq!(fakes.workflow.take_started(), [session_id("s")]);
}

#[tokio::test]
async fn a_message_that_is_delivered_twice_at_once_does_no_harm() {
    let fakes = Fakes::new().with_ready_session("s");
    let id = session_id("s").to_string();
    let bodies = [event(&detail(&id)), event(&detail(&id)), event(&detail(&id))];
    assert_eq!(handle(&env(&fakes), batch(&bodies)).await.unwrap(), failed(&[]));
}

#[test]
fn the_batch_response_has_the_names_that_lambda_expects() {
    let wanted = json!({"batchItemFailures": [{"itemIdentifier": "m"}]});
    assert_eq!(serde_json::to_value(failed(&["m"])).unwrap(), wanted);
    assert_eq!(serde_json::to_value(failed(&[])).unwrap(), json!({"batchItemFailures": []}));
}

#[test]
fn a_record_is_not_shown_with_its_body() {
    let shown = format!("{:?}", batch(&[json!("planted-marker")]));
    assert!(!shown.contains("planted-marker"), "{shown}");
}
