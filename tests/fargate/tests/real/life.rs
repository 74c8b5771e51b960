//! A task's life, and the many ways in which it ends.

use serde_json::json;

use crate::place::{CLUSTER, place, run_task};

#[tokio::test]
async fn a_task_starts_runs_and_stops_and_nothing_is_left() {
    let Some(place) = place().await else { return };
    let task = place.run("sh_1").await;
    assert_eq!(task["lastStatus"], "PROVISIONING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["version"], 1);
    assert_eq!(task["taskDefinitionArn"].as_str().unwrap().rsplit(':').next(), Some("7"));
    let arn = task["taskArn"].as_str().unwrap();
    let running = place.until(arn, |task| task["lastStatus"] == "RUNNING").await;
    assert_eq!(running["containers"][0]["name"], "shell");
    assert_eq!(running["containers"][0]["managedAgents"][0]["lastStatus"], "RUNNING");
    assert_eq!(running["startedBy"], "sh_1");

    let stopping = place.stop(arn).await;
    assert_eq!(stopping["desiredStatus"], "STOPPED");
    assert_eq!(stopping["lastStatus"], "RUNNING");
    let stopped = place.until_stopped(arn).await;
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert_eq!(stopped["stoppedReason"], "enough");
    assert_eq!(stopped["containers"][0]["exitCode"], 0);
    assert_eq!(place.stop(arn).await["stoppedReason"], "enough", "stopping it again succeeds");
    let (status, last) = place.end().await;
    assert!(status.success());
    assert_eq!(last, "nothing leaked");
}

#[tokio::test]
async fn what_runs_when_the_server_is_told_to_end_ends_with_it() {
    let Some(place) = place().await else { return };
    for number in 0..3 {
        place.running(&format!("sh_{number}")).await;
    }
    place.run("sh_late").await;
    assert_eq!(place.end().await.1, "nothing leaked");
}

#[tokio::test]
async fn tasks_are_listed_by_who_started_them_page_by_page() {
    let Some(place) = place().await else { return };
    place.control("faults", json!({ "slowStartMs": 60_000 })).await;
    let mine = place.run("sh_mine").await["taskArn"].clone();
    let mut all = vec![mine.clone()];
    for _ in 0..4 {
        all.push(place.run("sh_other").await["taskArn"].clone());
    }
    let by = json!({ "cluster": CLUSTER, "startedBy": "sh_mine" });
    assert_eq!(place.call("ListTasks", by).await.unwrap(), json!({ "taskArns": [mine] }));
    let both = json!({ "cluster": CLUSTER, "startedBy": "sh_mine", "desiredStatus": "STOPPED" });
    let refused = place.call("ListTasks", both).await.unwrap_err();
    assert_eq!(refused.0, "InvalidParameterException");

    let (mut listed, mut token) = (Vec::new(), None);
    for _ in 0..3 {
        let page = json!({ "cluster": CLUSTER, "maxResults": 2, "nextToken": token });
        let page = place.call("ListTasks", page).await.unwrap();
        listed.extend(page["taskArns"].as_array().unwrap().clone());
        token = page["nextToken"].as_str().map(str::to_owned);
    }
    assert_eq!(token, None);
    listed.sort_by_key(ToString::to_string);
    all.sort_by_key(ToString::to_string);
    assert_eq!(listed, all);
    let elsewhere = place.call("ListTasks", json!({ "cluster": "other" })).await.unwrap();
    assert_eq!(elsewhere, json!({ "taskArns": [] }));
}

#[tokio::test]
async fn a_task_that_is_not_known_is_missing_or_an_error() {
    let Some(place) = place().await else { return };
    let told = place.call("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": ["abc"] })).await;
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/{CLUSTER}/abc");
    let missing = json!([{ "arn": arn, "reason": "MISSING" }]);
    assert_eq!(told.unwrap(), json!({ "tasks": [], "failures": missing }));
    let told = place.call("StopTask", json!({ "cluster": CLUSTER, "task": "abc" })).await;
    let (name, body) = told.unwrap_err();
    assert_eq!(name, "InvalidParameterException");
    assert_eq!(body["message"], "The referenced task was not found.");
    let told = place.call("CreateCluster", json!({})).await;
    assert_eq!(told.unwrap_err().0, "UnknownOperationException");
}

#[tokio::test]
async fn a_task_killed_from_outside_has_stopped_by_itself() {
    let Some(place) = place().await else { return };
    let arn = place.running("sh_1").await;
    place.control("kill", json!({ "task": arn })).await;
    let stopped = place.until_stopped(&arn).await;
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    assert_eq!(stopped["containers"][0]["exitCode"], 137);
}

#[tokio::test]
async fn a_task_stopped_before_it_started_never_ran() {
    let Some(place) = place().await else { return };
    place.control("faults", json!({ "slowStartMs": 300 })).await;
    let arn = place.run("sh_1").await["taskArn"].as_str().unwrap().to_owned();
    place.stop(&arn).await;
    let stopped = place.until_stopped(&arn).await;
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert!(stopped["startedAt"].is_null(), "{stopped:#}");
    assert!(stopped["containers"][0]["exitCode"].is_null(), "{stopped:#}");
}

#[tokio::test]
async fn tags_are_shown_to_whoever_asks_and_gone_when_it_stopped() {
    let Some(place) = place().await else { return };
    let mut request = run_task("sh_1");
    request["tags"] = json!([{ "key": "ephemeral", "value": "1" }]);
    let told = place.call("RunTask", request.clone()).await.unwrap();
    let arn = told["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    assert!(place.describe(&arn).await["tags"].is_null());
    let input = json!({ "cluster": CLUSTER, "tasks": [arn], "include": ["TAGS"] });
    let told = place.call("DescribeTasks", input.clone()).await.unwrap();
    assert_eq!(told["tasks"][0]["tags"], request["tags"]);
    place.stop(&arn).await;
    place.until_stopped(&arn).await;
    assert_eq!(place.call("DescribeTasks", input).await.unwrap()["tasks"][0]["tags"], json!([]));
}

#[tokio::test]
async fn a_server_ends_what_one_before_it_left() {
    let Some(mut place) = place().await else { return };
    let arn = place.running("sh_1").await;
    place.replace().await;
    let told = place.call("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": [arn] })).await;
    assert_eq!(told.unwrap()["failures"][0]["reason"], "MISSING");
    assert_eq!(place.end().await.1, "nothing leaked");
}

#[tokio::test]
async fn a_task_in_which_memory_ran_out_says_so() {
    let Some(place) = place().await else { return };
    let arn = place.running("sh_1").await;
    place.printed(&arn, "tail /dev/zero").await;
    place.stop(&arn).await;
    let container = place.until_stopped(&arn).await["containers"][0].take();
    assert_eq!(container["reason"], "OutOfMemoryError: Container killed due to memory usage");
}
