use aws_sdk_ecs::types::{Container as SdkContainer, ManagedAgent, ManagedAgentName, TaskStopCode};
use serde_json::{Value, json};

use super::*;

/// An event from AWS's documentation, with the task of a session.
const SAMPLE: &str = r#"{
  "attachments": [{
    "id": "1789bcae-ddfb-4d10-8ebe-8ac87ddba5b8", "type": "eni", "status": "ATTACHED",
    "details": [{"name": "subnetId", "value": "subnet-abcd1234"}]
  }],
  "availabilityZone": "us-west-2c",
  "clusterArn": "arn:aws:ecs:us-west-2:111122223333:cluster/FargateCluster",
  "containers": [
    {
      "containerArn": "arn:aws:ecs:us-west-2:111122223333:container/cf159fd6-3e3f-4a9e-84f9-66cbe726af01",
      "lastStatus": "RUNNING",
      "name": "aws-guardduty-agent-FGbUFgA",
      "exitCode": 3,
      "runtimeId": "ad64cbc71c7fb31c55507ec24c9f77947132b03d48d9961115cf24f3b7307e1e",
      "networkInterfaces": [],
      "managedAgents": [{"name": "ExecuteCommandAgent", "status": "PENDING"}]
    },
    {
      "lastStatus": "RUNNING",
      "name": "shell",
      "image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/shell:latest",
      "managedAgents": [{"name": "ExecuteCommandAgent", "status": "RUNNING"}],
      "cpu": "0"
    }
  ],
  "createdAt": "2026-01-23T17:57:34.402Z",
  "launchType": "FARGATE",
  "cpu": "256",
  "memory": "512",
  "desiredStatus": "RUNNING",
  "group": "family:shell",
  "lastStatus": "RUNNING",
  "overrides": {"containerOverrides": [{"name": "shell"}]},
  "connectivity": "CONNECTED",
  "startedAt": "2026-01-23T17:57:58.103Z",
  "startedBy": "sh_01KDWPXG000000000000000000",
  "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/FargateCluster/c13b4cb40f1f4fe4a2971f76ae5a47ad",
  "updatedAt": "2026-01-23T17:57:58.203Z",
  "taskDefinitionArn": "arn:aws:ecs:us-west-2:111122223333:task-definition/shell:1",
  "version": 4,
  "platformVersion": "1.4.0"
}"#;

/// The facts of the sample with these fields replaced.
fn sample(changes: Value) -> TaskFacts {
    let mut detail: Value = serde_json::from_str(SAMPLE).unwrap();
    let Value::Object(changes) = changes else { panic!("fields") };
    detail.as_object_mut().unwrap().extend(changes);
    serde_json::from_value::<TaskDetail>(detail).unwrap().facts().unwrap()
}

fn shell(fields: Value) -> Value {
    let mut shell = json!({"name": "shell", "lastStatus": "STOPPED"});
    let Value::Object(fields) = fields else { panic!("fields") };
    shell.as_object_mut().unwrap().extend(fields);
    json!([{"name": "sidecar", "reason": "OutOfMemoryError: not ours", "exitCode": 9}, shell])
}

#[test]
fn a_running_task_has_the_facts_of_its_event() {
    let facts = sample(json!({}));
    assert!(facts.task.as_str().ends_with(":task/FargateCluster/c13b4cb40f1f4fe4a2971f76ae5a47ad"));
    assert_eq!(facts.started_by, "sh_01KDWPXG000000000000000000");
    assert_eq!((facts.version, facts.status), (4, TaskStatus::Running));
    assert_eq!((facts.ending, facts.stop), (false, None));
    assert_eq!(facts.at.to_string(), "2026-01-23T17:57:58.203Z");
}

#[test]
fn every_ecs_status_maps_to_a_task_status() {
    for (status, wanted) in [
        ("PROVISIONING", TaskStatus::Unplaced),
        ("PENDING", TaskStatus::Pending),
        ("ACTIVATING", TaskStatus::Pending),
        ("RUNNING", TaskStatus::Running),
        ("DEACTIVATING", TaskStatus::Stopping),
        ("STOPPING", TaskStatus::Stopping),
        ("DEPROVISIONING", TaskStatus::Stopping),
        ("STOPPED", TaskStatus::Stopped),
        ("DELETED", TaskStatus::Stopped),
    ] {
        assert_eq!(sample(json!({"lastStatus": status})).status, wanted, "{status}");
    }
}

#[test]
fn a_running_task_runs_whatever_the_state_of_its_agent() {
    for agent in [
        json!([{"name": "ExecuteCommandAgent", "status": "PENDING"}]),
        json!([{"name": "ExecuteCommandAgent", "lastStatus": "RUNNING"}]),
        json!([]),
    ] {
        let containers = shell(json!({"lastStatus": "RUNNING", "managedAgents": agent}));
        let facts = sample(json!({"lastStatus": "RUNNING", "containers": containers}));
        assert_eq!(facts.status, TaskStatus::Running, "{agent}");
    }
}

#[test]
fn an_interrupted_spot_task_is_ending_while_it_runs() {
    let facts = sample(json!({
        "desiredStatus": "STOPPED", "stopCode": "SpotInterruption",
        "stoppedReason": "Your Spot Task was interrupted.",
        "stoppingAt": "2026-01-23T18:00:00.000Z",
    }));
    assert_eq!((facts.status, facts.ending), (TaskStatus::Running, true));
    let stop = facts.stop.unwrap();
    assert_eq!((stop.code, stop.exit_code), (StopCode::Interrupted, None));
    assert_eq!(stop.message, "Your Spot Task was interrupted.");
}

#[test]
fn every_ecs_stop_code_maps_to_a_stop_code() {
    for (code, wanted) in [
        ("TaskFailedToStart", StopCode::FailedToStart),
        ("EssentialContainerExited", StopCode::Exited),
        ("UserInitiated", StopCode::Requested),
        ("SpotInterruption", StopCode::Interrupted),
        ("TerminationNotice", StopCode::Interrupted),
        ("ServiceSchedulerInitiated", StopCode::Other),
        ("SomethingNew", StopCode::Other),
    ] {
        let facts = sample(json!({"lastStatus": "STOPPED", "stopCode": code}));
        assert_eq!(facts.stop.unwrap().code, wanted, "{code}");
    }
    let facts = sample(json!({"lastStatus": "STOPPED"}));
    assert_eq!(facts.stop.unwrap().code, StopCode::Other, "no code");
}

#[test]
fn only_the_shell_container_can_report_out_of_memory() {
    let killed = shell(json!({
        "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage",
    }));
    let stopped = |containers| {
        json!({
            "lastStatus": "STOPPED", "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited", "containers": containers,
        })
    };
    let stop = sample(stopped(killed)).stop.unwrap();
    assert_eq!((stop.code, stop.exit_code), (StopCode::OutOfMemory, Some(137)));
    assert_eq!(
        stop.message,
        "Essential container in task exited; OutOfMemoryError: Container killed due to memory usage"
    );
    let stop = sample(stopped(shell(json!({"exitCode": 0})))).stop.unwrap();
    assert_eq!((stop.code, stop.exit_code), (StopCode::Exited, Some(0)));
}

#[test]
fn describe_tasks_gives_the_same_facts_as_an_event() {
    let agent = ManagedAgent::builder()
        .name(ManagedAgentName::ExecuteCommandAgent)
        .last_status("RUNNING")
        .build();
    let container = SdkContainer::builder().name("shell").exit_code(7).managed_agents(agent);
    let task = Task::builder()
        .task_arn("arn:t")
        .started_by("sh_1")
        .version(9)
        .last_status("STOPPED")
        .desired_status("STOPPED")
        .stop_code(TaskStopCode::EssentialContainerExited)
        .stopped_reason("Essential container in task exited")
        .containers(container.build())
        .stopped_at(DateTime::from_millis(1_767_225_600_123))
        .build();
    let event = json!({
        "taskArn": "arn:t", "startedBy": "sh_1", "version": 9, "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED", "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": [{"name": "shell", "exitCode": 7,
                        "managedAgents": [{"name": "ExecuteCommandAgent", "status": "RUNNING"}]}],
        "stoppedAt": "2026-01-01T00:00:00.123Z",
    });
    let event: TaskDetail = serde_json::from_value(event).unwrap();
    assert_eq!(TaskDetail::from(&task).facts(), event.facts());
}

#[test]
fn a_task_without_started_by_has_no_facts() {
    let task = Task::builder().task_arn("arn:t").last_status("RUNNING").build();
    assert_eq!(TaskDetail::from(&task).facts(), None);
}
