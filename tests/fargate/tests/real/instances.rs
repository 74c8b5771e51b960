//! Tasks on the instances of a capacity provider.

use serde_json::{Value, json};

use crate::server::{CLUSTER, Server, run_task, server_with};

const OPTIONS: [&str; 4] = ["--instances", "group=1", "--instances", "spot-group=0"];

fn on(provider: &str, started_by: &str) -> Value {
    let mut request = run_task(started_by);
    request["capacityProviderStrategy"] = json!([{ "capacityProvider": provider, "weight": 1 }]);
    request["placementConstraints"] = json!([{ "type": "distinctInstance" }]);
    request
}

async fn placed(server: &Server, provider: &str, started_by: &str) -> String {
    let response = server.call("RunTask", on(provider, started_by)).await.unwrap();
    assert_eq!(response["failures"], json!([]));
    assert_eq!(response["tasks"][0]["lastStatus"], "PROVISIONING");
    response["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_waits_in_provisioning_until_an_instance_is_free() {
    let Some(server) = server_with(&OPTIONS).await else { return };
    let first = placed(&server, "group", "sh_1").await;
    let running = server.until(&first, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(running["launchType"], "EC2");
    assert_eq!(running["capacityProviderName"], "group");
    assert!(running["containerInstanceArn"].is_string(), "{running:#}");
    assert!(running["ephemeralStorage"].is_null() && running["platformVersion"].is_null());

    let second = placed(&server, "group", "sh_2").await;
    let on_fargate = server.running("sh_3").await;
    assert_eq!(server.describe(&second).await["lastStatus"], "PROVISIONING");
    assert_eq!(server.describe(&on_fargate).await["launchType"], "FARGATE");
    server.stop(&first).await;
    server.until(&second, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(server.describe(&first).await["lastStatus"], "STOPPED");
}

#[tokio::test]
async fn a_task_gets_an_instance_that_is_added_and_can_be_stopped_before() {
    let Some(server) = server_with(&OPTIONS).await else { return };
    let stopped = placed(&server, "spot-group", "sh_1").await;
    let waiting = placed(&server, "spot-group", "sh_2").await;
    server.stop(&stopped).await;
    let stopped = server.until_stopped(&stopped).await;
    assert!(stopped["startedAt"].is_null() && stopped["containerInstanceArn"].is_null());
    assert_eq!(server.describe(&waiting).await["lastStatus"], "PROVISIONING");
    server.control("instances", json!({ "spot-group": 1 })).await;
    server.until(&waiting, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(server.end().await.1, "nothing leaked");
}

#[tokio::test]
async fn what_only_fargate_or_only_instances_have_is_refused_elsewhere() {
    let Some(server) = server_with(&OPTIONS).await else { return };
    let with = |mut request: Value, field: &str, value: Value| {
        request[field] = value;
        request
    };
    let address =
        json!({ "awsvpcConfiguration": { "subnets": ["subnet-a"], "assignPublicIp": "ENABLED" } });
    let disk = json!({ "ephemeralStorage": { "sizeInGiB": 30 } });
    for request in [
        on("other-group", "sh_1"),
        with(on("group", "sh_1"), "networkConfiguration", address),
        with(on("group", "sh_1"), "overrides", disk),
        on("FARGATE", "sh_1"),
        with(run_task("sh_1"), "placementStrategy", json!([{ "type": "binpack" }])),
    ] {
        let refused = server.call("RunTask", request).await.unwrap_err();
        assert_eq!(refused.0, "InvalidParameterException");
    }
    let listed = server.call("ListTasks", json!({ "cluster": CLUSTER })).await.unwrap();
    assert_eq!(listed, json!({ "taskArns": [] }));
}
