//! Task events on the queue.

use serde_json::json;

use crate::{
    server::server_with,
    sqs_sink::{SqsSink, has_stopped, step},
};

const STEPS: [&str; 9] = [
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "RUNNING", // with desiredStatus STOPPED
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
];

#[tokio::test]
async fn each_step_of_a_task_is_sent_once_in_order() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    let arn = server.running("sh_1").await;
    server.stop(&arn).await;
    let events = sink.until(has_stopped).await;
    let steps: Vec<_> = events.iter().map(step).collect();
    let expected: Vec<_> = STEPS.into_iter().zip(1..).collect();
    assert_eq!(steps, expected);
    let running = &events[3];
    assert_eq!(running["source"], "aws.ecs");
    assert_eq!(running["detail-type"], "ECS Task State Change");
    assert_eq!(running["resources"], json!([arn]));
    let detail = &running["detail"];
    assert_eq!(detail["startedBy"], "sh_1");
    assert_eq!(detail["containers"][0]["managedAgents"][0]["status"], "RUNNING");
    assert!(detail["startedAt"].as_str().unwrap().ends_with('Z'), "{detail:#}");
    assert_eq!(events[4]["detail"]["desiredStatus"], "STOPPED");
    assert_eq!(events[8]["detail"]["containers"][0]["exitCode"], 0);
    assert_eq!(server.read("calls").await["events"]["sent"], 9);
}

#[tokio::test]
async fn a_late_agent_has_its_own_event() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    server.control("faults", json!({ "agentDelayMs": 200 })).await;
    let arn = server.running("sh_1").await;
    let agent = |task: &serde_json::Value| task["containers"][0]["managedAgents"][0].clone();
    server.until(&arn, |task| agent(task)["lastStatus"] == "RUNNING").await;
    let events = sink.until(|events| events.len() == 5).await;
    let statuses: Vec<_> =
        events[3..].iter().map(|e| agent(&e["detail"])["status"].clone()).collect();
    assert_eq!(statuses, ["PENDING", "RUNNING"]);
}

#[tokio::test]
async fn events_are_duplicated_and_shuffled_on_demand() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    let faults = json!({ "events": { "duplicate": 1.0, "shuffle": true, "delayMs": 300 } });
    server.control("faults", faults).await;
    let arn = server.running("sh_1").await;
    server.stop(&arn).await;
    let events = sink.until(|events| events.len() == 2 * STEPS.len()).await;
    let versions: Vec<_> = events.iter().map(|event| step(event).1).collect();
    let mut sorted = versions.clone();
    sorted.sort_unstable();
    assert_ne!(versions, sorted, "18 messages in order by chance");
    let each: Vec<u64> = (1..=9).flat_map(|version| [version; 2]).collect();
    assert_eq!(sorted, each);
    let mut ids: Vec<_> = events.iter().map(|event| event["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), STEPS.len(), "a duplicate is the same event");
}

#[tokio::test]
async fn events_are_lost_on_demand() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    server.control("faults", json!({ "events": { "drop": 1.0 } })).await;
    let arn = server.running("sh_1").await;
    server.control("faults", json!({ "events": {} })).await;
    server.stop(&arn).await;
    let events = sink.until(has_stopped).await;
    assert_eq!(step(&events[0]), ("RUNNING", 5));
    assert_eq!(server.read("calls").await["events"]["dropped"], 4);
}

#[tokio::test]
async fn spot_warns_before_it_takes_the_task_away() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    let arn = server.running("sh_1").await;
    server.control("interrupt", json!({ "task": arn, "noticeMs": 300 })).await;
    let warned = server.describe(&arn).await;
    assert_eq!(
        (&warned["lastStatus"], &warned["desiredStatus"]),
        (&json!("RUNNING"), &json!("STOPPED"))
    );
    let events = sink.until(has_stopped).await;
    let warning = &events[4]["detail"];
    assert_eq!(warning["lastStatus"], "RUNNING");
    assert_eq!(warning["desiredStatus"], "STOPPED");
    assert_eq!(warning["stopCode"], "SpotInterruption");
    let stopped = &events[8]["detail"];
    assert_eq!(stopped["stopCode"], "SpotInterruption");
    assert_eq!(stopped["stoppedReason"], "Your Spot Task was interrupted.");
}

#[tokio::test]
async fn a_task_that_never_ran_has_no_running_steps() {
    let sink = SqsSink::new().await;
    let Some(server) = server_with(&["--events-queue", &sink.url]).await else { return };
    server.control("faults", json!({ "slowStartMs": 60_000 })).await;
    let arn = server.run("sh_1").await["taskArn"].as_str().unwrap().to_owned();
    server.stop(&arn).await;
    let events = sink.until(has_stopped).await;
    let steps: Vec<_> = events.iter().map(|event| step(event).0).collect();
    assert_eq!(steps, ["PROVISIONING", "PROVISIONING", "DEPROVISIONING", "STOPPED"]);
}
