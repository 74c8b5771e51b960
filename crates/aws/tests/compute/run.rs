//! RunTask: the request, and the meaning of each response.

use std::time::Duration;

use aws::compute::{Instances, Providers};
use domain::{
    TaskId,
    ports::{Compute, RunError, RunTask},
    size::{Network, Size},
};
use serde_json::{Value, json};

use crate::ecs::{
    Answer::{self, Exception, ServerError, Success, Timeout},
    Ecs,
};

fn request(spot: bool) -> RunTask {
    RunTask {
        started_by: "sh_1".into(),
        client_token: "sh_1-a1".into(),
        image: "default".into(),
        size: Size::new(512, 2048).unwrap(),
        network: Network::Egress,
        spot,
        lifetime: Duration::from_secs(3600),
    }
}

fn placed(arn: &str) -> Answer {
    Success(json!({"tasks": [{"taskArn": arn}], "failures": []}))
}

fn failure(reason: &str) -> Answer {
    Success(json!({"tasks": [], "failures": [{"arn": "arn:x", "reason": reason}]}))
}

fn message(text: &str) -> Value {
    json!({"message": text})
}

const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again later or in a \
                       different availability zone";

const NO_ZONE: &str = "Fargate is not supported in the requested availability zone";

#[tokio::test]
async fn the_request_has_everything_that_a_task_needs() {
    let ecs = Ecs::with([placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
    let [(operation, body)] = &ecs.calls()[..] else { panic!("one call") };
    assert_eq!(operation, "RunTask");
    let subnet = &body["networkConfiguration"]["awsvpcConfiguration"]["subnets"][0];
    let wanted = json!({
        "cluster": "shells",
        "taskDefinition": "arn:shell:7",
        "count": 1,
        "startedBy": "sh_1",
        "clientToken": "sh_1-a1",
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 0}],
        "networkConfiguration": {"awsvpcConfiguration": {
            "subnets": [subnet], "securityGroups": ["sg-egress"], "assignPublicIp": "ENABLED",
        }},
        "overrides": {
            "cpu": "512",
            "memory": "2048",
            "containerOverrides": [{
                "name": "shell",
                "environment": [{"name": "EPHEMERAL_LIFETIME_SECONDS", "value": "3900"}],
            }],
        },
        "enableExecuteCommand": true,
        "tags": [{"key": "ephemeral", "value": "1"}],
    });
    assert_eq!(*body, wanted);
}

#[tokio::test]
async fn a_disk_beyond_what_every_task_has_is_requested() {
    for (disk_mib, gib) in
        [(2048, Value::Null), (20_480, Value::Null), (20_481, json!(21)), (204_800, json!(200))]
    {
        let ecs = Ecs::with([placed("arn:t")]).await;
        let size = Size::DEFAULT.with_disk(disk_mib).unwrap();
        ecs.compute.run(&RunTask { size, ..request(false) }).await.unwrap();
        let [(_, body)] = &ecs.calls()[..] else { panic!("one call") };
        assert_eq!(body["overrides"]["ephemeralStorage"]["sizeInGiB"], gib, "{disk_mib}");
    }
}

fn instances(one_task_each: bool) -> Providers {
    let (on_demand, spot) = ("group".to_owned(), "spot-group".to_owned());
    Providers::Instances(Instances { on_demand, spot, one_task_each })
}

#[tokio::test]
async fn on_instances_a_task_is_requested_in_all_subnets_at_once_on_an_instance_of_its_own() {
    let ecs = Ecs::on(instances(true), [placed("arn:t")]).await;
    let size = Size::DEFAULT.with_disk(20_480).unwrap();
    ecs.compute.run(&RunTask { size, ..request(false) }).await.unwrap();
    let [(_, body)] = &ecs.calls()[..] else { panic!("one call") };
    let group = json!([{"capacityProvider": "group", "weight": 1, "base": 0}]);
    assert_eq!(body["capacityProviderStrategy"], group);
    let network = json!({
        "subnets": ["subnet-a", "subnet-b"], "securityGroups": ["sg-egress"], "assignPublicIp": "DISABLED",
    });
    assert_eq!(body["networkConfiguration"]["awsvpcConfiguration"], network);
    assert_eq!(body["placementConstraints"], json!([{"type": "distinctInstance"}]));
    assert_eq!(body["placementStrategy"], Value::Null);
    assert_eq!(body["overrides"]["ephemeralStorage"], Value::Null);
}

#[tokio::test]
async fn tasks_that_share_instances_fill_one_before_the_next() {
    let ecs = Ecs::on(instances(false), [placed("arn:t")]).await;
    let size = Size::DEFAULT.with_disk(Size::MAX_DISK_MIB).unwrap();
    ecs.compute.run(&RunTask { size, ..request(false) }).await.unwrap();
    let [(_, body)] = &ecs.calls()[..] else { panic!("one call") };
    assert_eq!(body["placementConstraints"], Value::Null);
    assert_eq!(body["placementStrategy"], json!([{"type": "binpack", "field": "memory"}]));
    assert_eq!(body["overrides"]["ephemeralStorage"], Value::Null, "no task has a disk of its own");
}

#[tokio::test]
async fn refused_spot_instances_are_followed_by_on_demand_ones() {
    let ecs = Ecs::on(instances(true), [failure("RESOURCE:MEMORY"), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&request(true)).await.unwrap(), TaskId::new("arn:t"));
    let asked = ecs.asked("/capacityProviderStrategy/0/capacityProvider");
    assert_eq!(asked, ["spot-group", "group"]);
    assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1", "sh_1-a1-1"]);

    let ecs = Ecs::on(instances(true), [failure("RESOURCE:ENI"), failure("RESOURCE:CPU")]).await;
    let error = ecs.compute.run(&request(true)).await.unwrap_err();
    assert!(matches!(&error, RunError::Capacity(cause) if cause == "RESOURCE:CPU"), "{error}");
}

#[tokio::test]
async fn spot_is_tried_in_every_subnet_before_on_demand() {
    let refusals = [failure(NO_CAPACITY), failure("RESOURCE:MEMORY"), failure(NO_CAPACITY)];
    let ecs = Ecs::with(refusals.into_iter().chain([placed("arn:t")])).await;
    assert_eq!(ecs.compute.run(&request(true)).await.unwrap(), TaskId::new("arn:t"));
    assert_eq!(
        ecs.asked("/capacityProviderStrategy/0/capacityProvider"),
        ["FARGATE_SPOT", "FARGATE_SPOT", "FARGATE", "FARGATE"]
    );
    let subnets = ecs.asked("/networkConfiguration/awsvpcConfiguration/subnets/0");
    assert_eq!(subnets[..2], subnets[2..]);
    assert_ne!(subnets[0], subnets[1]);
}

#[tokio::test]
async fn a_call_whose_response_was_lost_is_repeated_with_the_same_requests() {
    let answers = [failure(NO_CAPACITY), Timeout, failure(NO_CAPACITY), placed("arn:t")];
    let ecs = Ecs::with(answers).await;
    let lost = ecs.compute.run(&request(false)).await.unwrap_err();
    assert!(matches!(lost, RunError::Backend(_)), "{lost}");
    assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
    let calls = ecs.calls();
    assert_eq!(calls[..2], calls[2..]);
    assert_eq!(ecs.asked("/clientToken")[..2], ["sh_1-a1", "sh_1-a1-1"]);
}

#[tokio::test]
async fn a_lack_of_capacity_at_every_placement_is_reported() {
    let reasons = ["RESOURCE:CPU", "Capacity is unavailable at this time"];
    let ecs = Ecs::with(reasons.map(failure)).await;
    let error = ecs.compute.run(&request(false)).await.unwrap_err();
    assert!(matches!(&error, RunError::Capacity(cause) if cause == reasons[1]), "{error}");
}

#[tokio::test]
async fn a_used_up_quota_is_not_asked_for_in_another_subnet() {
    let limit = "You've reached the limit on the number of vCPUs";
    let ecs = Ecs::with([failure(limit)]).await;
    let error = ecs.compute.run(&request(false)).await.unwrap_err();
    assert!(matches!(&error, RunError::Capacity(cause) if cause == limit), "{error}");
    assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1"]);
    // On-demand capacity has a quota of its own.
    let ecs = Ecs::with([failure(limit), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&request(true)).await.unwrap(), TaskId::new("arn:t"));
    assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1", "sh_1-a1-2"]);
}

#[tokio::test]
async fn an_exception_can_report_a_lack_of_capacity_too() {
    let limit = "You've reached the limit on the number of tasks you can run concurrently";
    let answers = [
        Exception("ClientException", message(NO_CAPACITY)),
        Exception("InvalidParameterException", message(limit)),
    ];
    let error = Ecs::with(answers).await.compute.run(&request(false)).await.unwrap_err();
    assert!(matches!(error, RunError::Capacity(_)), "{error}");
}

#[tokio::test]
async fn a_subnet_whose_zone_runs_no_tasks_is_left_out_from_then_on() {
    for refusal in [
        Exception("ClientException", message(NO_ZONE)),
        Exception("InvalidParameterException", message(NO_ZONE)),
        Exception("PlatformTaskDefinitionIncompatibilityException", message("arm64")),
    ] {
        let ecs = Ecs::with([refusal, placed("arn:t"), placed("arn:t")]).await;
        assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
        // The placement keeps its token, so a repeated call finds the same task.
        assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
        assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1", "sh_1-a1-1", "sh_1-a1-1"]);
    }
}

#[tokio::test]
async fn zones_without_fargate_are_refused_and_never_reported_as_a_lack_of_capacity() {
    let refusals = [NO_ZONE, NO_ZONE].map(|text| Exception("ClientException", message(text)));
    let ecs = Ecs::with(refusals).await;
    for _ in 0..2 {
        let error = ecs.compute.run(&request(false)).await.unwrap_err();
        let RunError::Refused(cause) = &error else { panic!("{error}") };
        assert!(cause.contains(NO_ZONE), "{cause}");
    }
    assert_eq!(ecs.calls().len(), 2);
}

#[tokio::test]
async fn a_throttled_call_may_be_repeated_with_its_token() {
    for answer in [
        Exception("ThrottlingException", message("Rate exceeded")),
        Exception("TooManyRequestsException", message("slower")),
        Exception("ClientException", message("Rate exceeded")),
        Exception(
            "InvalidParameterException",
            message(
                "Error retrieving security group information for [sg-1]: Request limit exceeded.",
            ),
        ),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&request(false)).await.unwrap_err();
        assert!(matches!(error, RunError::Throttled), "{error}");
    }
}

#[tokio::test]
async fn a_throttled_launch_is_repeated_with_another_token() {
    let ecs = Ecs::with([failure("RunTask throttled"), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
    assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1", "sh_1-a1-1"]);
}

#[tokio::test]
async fn a_permanent_failure_is_refused_without_another_attempt() {
    for answer in [
        failure("MISSING"),
        failure("INACTIVE"),
        Exception("InvalidParameterException", message("TaskDefinition not found.")),
        Exception("ClusterNotFoundException", message("Cluster not found.")),
        Exception("AccessDeniedException", message("is not authorized to perform")),
        Exception("ClientException", message("TaskDefinition is inactive")),
        Exception("PlatformUnknownException", message("unknown")),
        Exception("UnsupportedFeatureException", message("unsupported")),
        Exception("BlockedException", message("blocked")),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&request(true)).await.unwrap_err();
        assert!(matches!(error, RunError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn a_task_that_may_have_started_is_never_reported_as_refused() {
    for answer in [
        ServerError,
        Exception("ServerException", message("internal")),
        Exception("ExpiredTokenException", message("expired")),
        Success(json!({"tasks": [], "failures": []})),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&request(true)).await.unwrap_err();
        assert!(matches!(error, RunError::Backend(_)), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_was_used_with_other_settings_gives_the_first_task() {
    let fields = json!({"message": "in use", "resourceIds": ["arn:first"]});
    let ecs = Ecs::with([Exception("ConflictException", fields)]).await;
    assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:first"));
    let ecs = Ecs::with([Exception("ConflictException", json!({})), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&request(false)).await.unwrap(), TaskId::new("arn:t"));
}

#[tokio::test]
async fn an_image_or_network_that_does_not_exist_is_refused_without_a_call() {
    let ecs = Ecs::with([]).await;
    let requests = [
        RunTask { image: "other".into(), ..request(false) },
        RunTask { network: Network::None, ..request(false) },
    ];
    for request in requests {
        let error = ecs.compute.run(&request).await.unwrap_err();
        assert!(matches!(error, RunError::Refused(_)), "{error}");
    }
    assert_eq!(ecs.calls(), []);
}
