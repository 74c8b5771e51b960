//! The lifecycle of tasks.

use serde_json::json;

use crate::server::{CLUSTER, run_task, server};

#[tokio::test]
async fn a_task_starts_runs_and_stops_and_nothing_is_left() {
    let Some(server) = server().await else { return };
    let task = server.run("sh_1").await;
    assert_eq!(task["lastStatus"], "PROVISIONING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["version"], 1);
    assert_eq!(task["taskDefinitionArn"].as_str().unwrap().rsplit(':').next(), Some("7"));
    let arn = task["taskArn"].as_str().unwrap();
    let running = server.until(arn, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(running["containers"][0]["name"], "shell");
    assert_eq!(running["containers"][0]["managedAgents"][0]["lastStatus"], "RUNNING");
    assert_eq!(running["startedBy"], "sh_1");

    let stopping = server.stop(arn).await;
    assert_eq!(stopping["desiredStatus"], "STOPPED");
    assert_eq!(stopping["lastStatus"], "RUNNING");
    let stopped = server.until_stopped(arn).await;
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert_eq!(stopped["stoppedReason"], "enough");
    assert_eq!(stopped["containers"][0]["exitCode"], 0);
    assert_eq!(server.stop(arn).await["stoppedReason"], "enough", "stopping it again succeeds");
    let (status, last) = server.end().await;
    assert!(status.success());
    assert_eq!(last, "nothing leaked");
}

#[tokio::test]
async fn tasks_end_with_the_server() {
    let Some(server) = server().await else { return };
    for number in 0..3 {
        server.running(&format!("sh_{number}")).await;
    }
    server.run("sh_late").await;
    assert_eq!(server.end().await.1, "nothing leaked");
}

#[tokio::test]
async fn tasks_are_listed_by_starter_in_pages() {
    let Some(server) = server().await else { return };
    server.control("faults", json!({ "slowStartMs": 60_000 })).await;
    let mine = server.run("sh_mine").await["taskArn"].clone();
    let mut all = vec![mine.clone()];
    for _ in 0..4 {
        all.push(server.run("sh_other").await["taskArn"].clone());
    }
    let by = json!({ "cluster": CLUSTER, "startedBy": "sh_mine" });
    assert_eq!(server.call("ListTasks", by).await.unwrap(), json!({ "taskArns": [mine] }));
    let both = json!({ "cluster": CLUSTER, "startedBy": "sh_mine", "desiredStatus": "STOPPED" });
    let refused = server.call("ListTasks", both).await.unwrap_err();
    assert_eq!(refused.0, "InvalidParameterException");

    let (mut listed, mut token) = (Vec::new(), None);
    for _ in 0..3 {
        let page = json!({ "cluster": CLUSTER, "maxResults": 2, "nextToken": token });
        let page = server.call("ListTasks", page).await.unwrap();
        listed.extend(page["taskArns"].as_array().unwrap().clone());
        token = page["nextToken"].as_str().map(str::to_owned);
    }
    assert_eq!(token, None);
    listed.sort_by_key(ToString::to_string);
    all.sort_by_key(ToString::to_string);
    assert_eq!(listed, all);
    let elsewhere = server.call("ListTasks", json!({ "cluster": "other" })).await.unwrap();
    assert_eq!(elsewhere, json!({ "taskArns": [] }));
}

#[tokio::test]
async fn an_unknown_task_is_missing_or_an_error() {
    let Some(server) = server().await else { return };
    let response =
        server.call("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": ["abc"] })).await;
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/{CLUSTER}/abc");
    let missing = json!([{ "arn": arn, "reason": "MISSING" }]);
    assert_eq!(response.unwrap(), json!({ "tasks": [], "failures": missing }));
    let response = server.call("StopTask", json!({ "cluster": CLUSTER, "task": "abc" })).await;
    let (name, body) = response.unwrap_err();
    assert_eq!(name, "InvalidParameterException");
    assert_eq!(body["message"], "The referenced task was not found.");
    let response = server.call("CreateCluster", json!({})).await;
    assert_eq!(response.unwrap_err().0, "UnknownOperationException");
}

#[tokio::test]
async fn a_task_killed_from_outside_has_stopped_by_itself() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    server.control("kill", json!({ "task": arn })).await;
    let stopped = server.until_stopped(&arn).await;
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    assert_eq!(stopped["containers"][0]["exitCode"], 137);
}

#[tokio::test]
async fn a_task_stopped_before_it_started_never_ran() {
    let Some(server) = server().await else { return };
    server.control("faults", json!({ "slowStartMs": 300 })).await;
    let arn = server.run("sh_1").await["taskArn"].as_str().unwrap().to_owned();
    server.stop(&arn).await;
    let stopped = server.until_stopped(&arn).await;
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert!(stopped["startedAt"].is_null(), "{stopped:#}");
    assert!(stopped["containers"][0]["exitCode"].is_null(), "{stopped:#}");
}

#[tokio::test]
async fn tags_are_shown_on_request_and_gone_when_the_task_stopped() {
    let Some(server) = server().await else { return };
    let mut request = run_task("sh_1");
    request["tags"] = json!([{ "key": "ephemeral", "value": "1" }]);
    let response = server.call("RunTask", request.clone()).await.unwrap();
    let arn = response["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    assert!(server.describe(&arn).await["tags"].is_null());
    let input = json!({ "cluster": CLUSTER, "tasks": [arn], "include": ["TAGS"] });
    let response = server.call("DescribeTasks", input.clone()).await.unwrap();
    assert_eq!(response["tasks"][0]["tags"], request["tags"]);
    server.stop(&arn).await;
    server.until_stopped(&arn).await;
    assert_eq!(server.call("DescribeTasks", input).await.unwrap()["tasks"][0]["tags"], json!([]));
}

#[tokio::test]
async fn a_server_stops_the_tasks_of_an_earlier_one() {
    let Some(mut server) = server().await else { return };
    let arn = server.running("sh_1").await;
    server.replace().await;
    let response =
        server.call("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": [arn] })).await;
    assert_eq!(response.unwrap()["failures"][0]["reason"], "MISSING");
    assert_eq!(server.end().await.1, "nothing leaked");
}

#[tokio::test]
async fn a_task_without_memory_has_that_reason() {
    let Some(server) = server().await else { return };
    let arn = server.running("sh_1").await;
    server.printed(&arn, "tail /dev/zero").await;
    server.stop(&arn).await;
    let container = server.until_stopped(&arn).await["containers"][0].take();
    assert_eq!(container["reason"], "OutOfMemoryError: Container killed due to memory usage");
}
