//! Refusals of RunTask, and repeated client tokens.

use serde_json::{Value, json};

use crate::server::{CLUSTER, Server, run_task, server};

const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again later or in a different availability zone";

fn with(field: &str, value: Value) -> Value {
    let mut request = run_task("sh_1");
    request[field] = value;
    request
}

async fn live(server: &Server) -> usize {
    let response = server.call("ListTasks", json!({ "cluster": CLUSTER })).await.unwrap();
    response["taskArns"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_client_token_starts_one_task_and_gets_the_same_response_again() {
    let Some(server) = server().await else { return };
    let request = with("clientToken", json!("sh_1-a1"));
    let first = server.call("RunTask", request.clone()).await.unwrap();
    let arn = first["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    server.until(&arn, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(server.call("RunTask", request.clone()).await.unwrap(), first);
    assert_eq!(live(&server).await, 1);

    let mut other = request;
    other["startedBy"] = json!("sh_2");
    let (name, body) = server.call("RunTask", other).await.unwrap_err();
    assert_eq!(name, "ConflictException");
    assert_eq!(body["resourceIds"], json!([arn]));
    let next = server.call("RunTask", with("clientToken", json!("sh_1-a2"))).await.unwrap();
    assert_ne!(next["tasks"][0]["taskArn"], json!(arn));
}

#[tokio::test]
async fn a_refusal_is_repeated_for_the_same_token_although_there_is_capacity_by_then() {
    let Some(server) = server().await else { return };
    server.control("faults", json!({ "capacity": 1 })).await;
    let refused = json!({ "tasks": [], "failures": [{ "reason": NO_CAPACITY }] });
    let request = with("clientToken", json!("sh_1-a1"));
    assert_eq!(server.call("RunTask", request.clone()).await.unwrap(), refused);
    assert_eq!(server.call("RunTask", request).await.unwrap(), refused);
    let next = server.call("RunTask", with("clientToken", json!("sh_1-a2"))).await.unwrap();
    assert_eq!(next["failures"], json!([]));
}

#[tokio::test]
async fn spot_may_have_no_capacity_while_fargate_has() {
    let Some(server) = server().await else { return };
    let faults = json!({ "capacity": { "FARGATE_SPOT": 1 }, "capacityReason": "RESOURCE:CPU" });
    server.control("faults", faults).await;
    let spot = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
    let response =
        server.call("RunTask", with("capacityProviderStrategy", spot.clone())).await.unwrap();
    assert_eq!(response["failures"], json!([{ "reason": "RESOURCE:CPU" }]));
    let response = server.call("RunTask", run_task("sh_1")).await.unwrap();
    assert_eq!(response["tasks"][0]["capacityProviderName"], "FARGATE");
    let response = server.call("RunTask", with("capacityProviderStrategy", spot)).await.unwrap();
    assert_eq!(response["tasks"][0]["capacityProviderName"], "FARGATE_SPOT");
}

#[tokio::test]
async fn a_throttled_call_has_no_effect_and_a_failing_one_has_its_effect() {
    let Some(server) = server().await else { return };
    server.control("faults", json!({ "throttle": 1, "errors": 1 })).await;
    let request = with("clientToken", json!("sh_1-a1"));
    let throttled = server.call("RunTask", request.clone()).await.unwrap_err();
    assert_eq!(throttled.0, "ThrottlingException");
    assert_eq!(live(&server).await, 0);
    let broken = server.call("RunTask", request.clone()).await.unwrap_err();
    assert_eq!(broken.0, "ServerException");
    assert_eq!(live(&server).await, 1);
    let response = server.call("RunTask", request).await.unwrap();
    assert_eq!(
        response["tasks"].as_array().unwrap().len(),
        1,
        "the same token gets the response of the first call"
    );
    assert_eq!(live(&server).await, 1);

    server.control("faults", json!({ "throttle": { "DescribeTasks": 1 } })).await;
    let input = json!({ "cluster": CLUSTER, "tasks": ["abc"] });
    let throttled = server.call("DescribeTasks", input.clone()).await.unwrap_err();
    assert_eq!(throttled.0, "ThrottlingException");
    server.call("DescribeTasks", input).await.unwrap();
    assert_eq!(server.read("calls").await["calls"]["RunTask"], 3);
}

#[tokio::test]
async fn invalid_input_is_refused_as_by_ecs() {
    let Some(server) = server().await else { return };
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
        let refused = server.call("RunTask", with(field, value)).await.unwrap_err();
        assert_eq!(refused.0, "InvalidParameterException", "{field}");
    }
    for (cpu, memory) in [("256", "4096"), ("300", "512"), ("1 vCPU", "2048")] {
        let size = with("overrides", json!({ "cpu": cpu, "memory": memory }));
        assert_eq!(server.call("RunTask", size).await.unwrap_err().0, "ClientException");
    }
    let wrong = server.call("RunTask", json!({ "count": "one" })).await.unwrap_err();
    assert_eq!(wrong.0, "SerializationException");
    assert_eq!(live(&server).await, 0);
}

#[tokio::test]
async fn a_task_has_the_requested_size() {
    let Some(server) = server().await else { return };
    let request = with("overrides", json!({ "cpu": "1024", "memory": "2048" }));
    let response = server.call("RunTask", request).await.unwrap();
    assert_eq!(
        (&response["tasks"][0]["cpu"], &response["tasks"][0]["memory"]),
        (&json!("1024"), &json!("2048"))
    );
    let known = server.read("tasks").await;
    let subnets = &known["tasks"][0]["networkConfiguration"]["awsvpcConfiguration"]["subnets"];
    assert_eq!(*subnets, json!(["subnet-a"]));
}
