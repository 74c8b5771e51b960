//! StopTask, DescribeTasks and ListTasks.

use domain::{
    TaskId,
    ports::{Compute, StopError},
    task::TaskStatus,
};
use serde_json::{Value, json};

use crate::ecs::{
    Answer::{Exception, ServerError, Success},
    Ecs,
};

fn task(name: &str, status: &str) -> Value {
    json!({
        "taskArn": name, "startedBy": "sh_1", "version": 2, "lastStatus": status,
        "desiredStatus": status, "containers": [{"name": "shell"}],
        "createdAt": 1_767_225_600.5,
    })
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("arn:{number}")).collect()
}

#[tokio::test]
async fn the_reason_of_a_stop_is_cut_to_the_length_that_ecs_accepts() {
    let ecs = Ecs::with([Success(json!({"task": {"taskArn": "arn:t"}}))]).await;
    ecs.compute.stop(&TaskId::new("arn:t"), &"é".repeat(300)).await.unwrap();
    let [(operation, body)] = &ecs.calls()[..] else { panic!("one call") };
    assert_eq!(operation, "StopTask");
    let wanted = json!({"cluster": "shells", "task": "arn:t", "reason": "é".repeat(255)});
    assert_eq!(*body, wanted);
}

#[tokio::test]
async fn every_error_of_a_stop_has_its_meaning() {
    let task = TaskId::new("arn:t");
    let not_found = json!({"message": "The referenced task was not found."});
    let ecs = Ecs::with([
        Exception("InvalidParameterException", not_found),
        Exception("ThrottlingException", json!({"message": "Rate exceeded"})),
        Exception("InvalidParameterException", json!({"message": "Identifier is malformed"})),
        ServerError,
    ])
    .await;
    let stop = async || ecs.compute.stop(&task, "r").await.unwrap_err();
    assert!(matches!(stop().await, StopError::Unknown));
    assert!(matches!(stop().await, StopError::Throttled));
    assert!(matches!(stop().await, StopError::Backend(_)));
    assert!(matches!(stop().await, StopError::Backend(_)));
}

#[tokio::test]
async fn tasks_are_described_a_hundred_at_a_time_and_unknown_ones_left_out() {
    let missing = json!([{"arn": "arn:0", "reason": "MISSING"}]);
    let first: Vec<Value> = names(1..100).iter().map(|name| task(name, "RUNNING")).collect();
    let second: Vec<Value> = names(100..150).iter().map(|name| task(name, "PENDING")).collect();
    let ecs = Ecs::with([
        Success(json!({"tasks": first, "failures": missing})),
        Success(json!({"tasks": second, "failures": []})),
    ])
    .await;
    let asked: Vec<TaskId> = names(0..150).iter().map(TaskId::new).collect();
    let facts = ecs.compute.describe(&asked).await.unwrap();
    assert_eq!(facts.len(), 149);
    assert_eq!(facts[0].status, TaskStatus::Running);
    assert_eq!(facts[0].at.millis(), 1_767_225_600_500);
    let sizes: Vec<usize> =
        ecs.calls().iter().map(|(_, body)| body["tasks"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 50]);
}

#[tokio::test]
async fn describing_no_tasks_makes_no_call() {
    let ecs = Ecs::with([]).await;
    assert_eq!(ecs.compute.describe(&[]).await.unwrap(), []);
    assert_eq!(ecs.calls(), []);
}

#[tokio::test]
async fn any_failure_but_missing_is_an_error() {
    let failures = json!([{"arn": "arn:t", "reason": "ACCESS"}]);
    let ecs = Ecs::with([Success(json!({"tasks": [], "failures": failures}))]).await;
    assert!(ecs.compute.describe(&[TaskId::new("arn:t")]).await.is_err());
}

#[tokio::test]
async fn a_list_has_all_pages_and_leaves_out_tasks_that_stopped_meanwhile() {
    let ecs = Ecs::with([
        Success(json!({"taskArns": ["arn:1", "arn:2"], "nextToken": "more"})),
        Success(
            json!({"tasks": [task("arn:1", "RUNNING"), task("arn:2", "STOPPED")], "failures": []}),
        ),
        Success(json!({"taskArns": ["arn:3"]})),
        Success(json!({"tasks": [task("arn:3", "PENDING")], "failures": []})),
    ])
    .await;
    let facts = ecs.compute.list(Some("sh_1")).await.unwrap();
    let found: Vec<&str> = facts.iter().map(|facts| facts.task.as_str()).collect();
    assert_eq!(found, ["arn:1", "arn:3"]);
    let calls = ecs.calls();
    assert_eq!(calls[0], ("ListTasks".into(), json!({"cluster": "shells", "startedBy": "sh_1"})));
    assert_eq!(calls[2].1["nextToken"], "more");
}

#[tokio::test]
async fn an_empty_list_is_not_described() {
    let ecs = Ecs::with([Success(json!({"taskArns": []}))]).await;
    assert_eq!(ecs.compute.list(None).await.unwrap(), []);
    assert_eq!(ecs.calls(), [("ListTasks".to_owned(), json!({"cluster": "shells"}))]);
}
