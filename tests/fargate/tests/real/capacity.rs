//! What RunTask refuses, and what it answers a second time.

use serde_json::{Value, json};

use crate::place::{CLUSTER, Place, place, run_task};

const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again later or in a different availability zone";

fn with(field: &str, value: Value) -> Value {
    let mut request = run_task("sh_1");
    request[field] = value;
    request
}

async fn live(place: &Place) -> usize {
    let told = place.call("ListTasks", json!({ "cluster": CLUSTER })).await.unwrap();
    told["taskArns"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_client_token_starts_one_task_and_is_answered_the_same_again() {
    let Some(place) = place().await else { return };
    let request = with("clientToken", json!("sh_1-a1"));
    let first = place.call("RunTask", request.clone()).await.unwrap();
    let arn = first["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    place.until(&arn, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(place.call("RunTask", request.clone()).await.unwrap(), first);
    assert_eq!(live(&place).await, 1);

    let mut other = request;
    other["startedBy"] = json!("sh_2");
    let (name, body) = place.call("RunTask", other).await.unwrap_err();
    assert_eq!(name, "ConflictException");
    assert_eq!(body["resourceIds"], json!([arn]));
    let next = place.call("RunTask", with("clientToken", json!("sh_1-a2"))).await.unwrap();
    assert_ne!(next["tasks"][0]["taskArn"], json!(arn));
}

#[tokio::test]
async fn a_refusal_is_answered_again_to_the_same_token_though_there_is_room_by_then() {
    let Some(place) = place().await else { return };
    place.control("faults", json!({ "capacity": 1 })).await;
    let refused = json!({ "tasks": [], "failures": [{ "reason": NO_CAPACITY }] });
    let request = with("clientToken", json!("sh_1-a1"));
    assert_eq!(place.call("RunTask", request.clone()).await.unwrap(), refused);
    assert_eq!(place.call("RunTask", request).await.unwrap(), refused);
    let next = place.call("RunTask", with("clientToken", json!("sh_1-a2"))).await.unwrap();
    assert_eq!(next["failures"], json!([]));
}

#[tokio::test]
async fn spot_may_have_no_room_where_the_rest_has() {
    let Some(place) = place().await else { return };
    let faults = json!({ "capacity": { "FARGATE_SPOT": 1 }, "capacityReason": "RESOURCE:CPU" });
    place.control("faults", faults).await;
    let spot = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
    let told = place.call("RunTask", with("capacityProviderStrategy", spot.clone())).await.unwrap();
    assert_eq!(told["failures"], json!([{ "reason": "RESOURCE:CPU" }]));
    let told = place.call("RunTask", run_task("sh_1")).await.unwrap();
    assert_eq!(told["tasks"][0]["capacityProviderName"], "FARGATE");
    let told = place.call("RunTask", with("capacityProviderStrategy", spot)).await.unwrap();
    assert_eq!(told["tasks"][0]["capacityProviderName"], "FARGATE_SPOT");
}

#[tokio::test]
async fn a_throttled_call_does_nothing_and_a_broken_one_does_all() {
    let Some(place) = place().await else { return };
    place.control("faults", json!({ "throttle": 1, "errors": 1 })).await;
    let request = with("clientToken", json!("sh_1-a1"));
    let throttled = place.call("RunTask", request.clone()).await.unwrap_err();
    assert_eq!(throttled.0, "ThrottlingException");
    assert_eq!(live(&place).await, 0);
    let broken = place.call("RunTask", request.clone()).await.unwrap_err();
    assert_eq!(broken.0, "ServerException");
    assert_eq!(live(&place).await, 1);
    let told = place.call("RunTask", request).await.unwrap();
    assert_eq!(told["tasks"].as_array().unwrap().len(), 1, "the same token tells what was done");
    assert_eq!(live(&place).await, 1);

    place.control("faults", json!({ "throttle": { "DescribeTasks": 1 } })).await;
    let input = json!({ "cluster": CLUSTER, "tasks": ["abc"] });
    let throttled = place.call("DescribeTasks", input.clone()).await.unwrap_err();
    assert_eq!(throttled.0, "ThrottlingException");
    place.call("DescribeTasks", input).await.unwrap();
    assert_eq!(place.look("calls").await["calls"]["RunTask"], 3);
}

#[tokio::test]
async fn what_ecs_refuses_is_refused() {
    let Some(place) = place().await else { return };
    let spot = |weight: u32| json!([{ "capacityProvider": "FARGATE_SPOT", "weight": weight }]);
    let tags: Vec<Value> = (0..51).map(|n| json!({ "key": n.to_string() })).collect();
    let bad = [
        ("networkConfiguration", json!(null)),
        ("launchType", json!("FARGATE")),
        ("capacityProviderStrategy", spot(0)),
        ("count", json!(11)),
        ("startedBy", json!("sh 1")),
        ("clientToken", json!("x".repeat(65))),
        ("tags", json!(tags)),
        ("tags", json!([{ "key": "aws:x", "value": "" }])),
        ("overrides", json!({ "containerOverrides": [{ "command": ["x".repeat(8192)] }] })),
    ];
    for (field, value) in bad {
        let refused = place.call("RunTask", with(field, value)).await.unwrap_err();
        assert_eq!(refused.0, "InvalidParameterException", "{field}");
    }
    for (cpu, memory) in [("256", "4096"), ("300", "512"), ("1 vCPU", "2048")] {
        let size = with("overrides", json!({ "cpu": cpu, "memory": memory }));
        assert_eq!(place.call("RunTask", size).await.unwrap_err().0, "ClientException");
    }
    let wrong = place.call("RunTask", json!({ "count": "one" })).await.unwrap_err();
    assert_eq!(wrong.0, "SerializationException");
    assert_eq!(live(&place).await, 0);
}

#[tokio::test]
async fn a_task_has_the_size_that_was_asked_for() {
    let Some(place) = place().await else { return };
    let request = with("overrides", json!({ "cpu": "1024", "memory": "2048" }));
    let told = place.call("RunTask", request).await.unwrap();
    assert_eq!(
        (&told["tasks"][0]["cpu"], &told["tasks"][0]["memory"]),
        (&json!("1024"), &json!("2048"))
    );
    let known = place.look("tasks").await;
    let subnets = &known["tasks"][0]["networkConfiguration"]["awsvpcConfiguration"]["subnets"];
    assert_eq!(*subnets, json!(["subnet-a"]));
}
