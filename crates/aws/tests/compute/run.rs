//! Having tasks run: what is asked for, and what each answer means.

use domain::{
    TaskId,
    ports::{Compute, RunError, RunTask},
    size::{Network, Size},
};
use serde_json::{Value, json};

use crate::ecs::{
    Answer::{self, Broken, Refused, Silent, Told},
    Ecs,
};

fn wish(spot: bool) -> RunTask {
    RunTask {
        started_by: "sh_1".into(),
        client_token: "sh_1-a1".into(),
        image: "default".into(),
        size: Size::new(512, 2048).unwrap(),
        network: Network::Egress,
        spot,
    }
}

fn placed(arn: &str) -> Answer {
    Told(json!({"tasks": [{"taskArn": arn}], "failures": []}))
}

fn failure(reason: &str) -> Answer {
    Told(json!({"tasks": [], "failures": [{"arn": "arn:x", "reason": reason}]}))
}

fn message(words: &str) -> Value {
    json!({"message": words})
}

const NO_ROOM: &str = "Capacity is unavailable at this time. Please try again later or in a \
                       different availability zone";

#[tokio::test]
async fn a_task_is_asked_for_with_all_that_it_needs() {
    let ecs = Ecs::with([placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&wish(false)).await.unwrap(), TaskId::new("arn:t"));
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
        "overrides": {"cpu": "512", "memory": "2048"},
        "enableExecuteCommand": true,
        "tags": [{"key": "ephemeral", "value": "1"}],
    });
    assert_eq!(*body, wanted);
}

#[tokio::test]
async fn spot_is_asked_for_everywhere_before_the_usual_capacity() {
    let refusals = [failure(NO_ROOM), failure("RESOURCE:MEMORY"), failure(NO_ROOM)];
    let ecs = Ecs::with(refusals.into_iter().chain([placed("arn:t")])).await;
    assert_eq!(ecs.compute.run(&wish(true)).await.unwrap(), TaskId::new("arn:t"));
    assert_eq!(
        ecs.asked("/capacityProviderStrategy/0/capacityProvider"),
        ["FARGATE_SPOT", "FARGATE_SPOT", "FARGATE", "FARGATE"]
    );
    let subnets = ecs.asked("/networkConfiguration/awsvpcConfiguration/subnets/0");
    assert_eq!(subnets[..2], subnets[2..]);
    assert_ne!(subnets[0], subnets[1]);
}

#[tokio::test]
async fn a_try_whose_answer_was_lost_is_repeated_the_very_same_way() {
    let answers = [failure(NO_ROOM), Silent, failure(NO_ROOM), placed("arn:t")];
    let ecs = Ecs::with(answers).await;
    let lost = ecs.compute.run(&wish(false)).await.unwrap_err();
    assert!(matches!(lost, RunError::Backend(_)), "{lost}");
    assert_eq!(ecs.compute.run(&wish(false)).await.unwrap(), TaskId::new("arn:t"));
    let calls = ecs.calls();
    assert_eq!(calls[..2], calls[2..]);
    assert_eq!(ecs.asked("/clientToken")[..2], ["sh_1-a1", "sh_1-a1-1"]);
}

#[tokio::test]
async fn where_there_is_no_room_anywhere_that_is_said() {
    let words = ["RESOURCE:CPU", "You've reached the limit on the number of vCPUs"];
    let ecs = Ecs::with(words.map(failure)).await;
    let error = ecs.compute.run(&wish(false)).await.unwrap_err();
    assert!(matches!(&error, RunError::Capacity(cause) if cause == words[1]), "{error}");
}

#[tokio::test]
async fn no_room_may_come_as_an_exception_too() {
    let limit = "You've reached the limit on the number of tasks you can run concurrently";
    let answers = [
        Refused("ClientException", message(NO_ROOM)),
        Refused("InvalidParameterException", message(limit)),
    ];
    let error = Ecs::with(answers).await.compute.run(&wish(false)).await.unwrap_err();
    assert!(matches!(error, RunError::Capacity(_)), "{error}");
}

#[tokio::test]
async fn a_throttled_call_may_be_repeated_with_its_token() {
    for answer in [
        Refused("ThrottlingException", message("Rate exceeded")),
        Refused("TooManyRequestsException", message("slower")),
        Refused("ClientException", message("Rate exceeded")),
        Refused(
            "InvalidParameterException",
            message(
                "Error retrieving security group information for [sg-1]: Request limit exceeded.",
            ),
        ),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&wish(false)).await.unwrap_err();
        assert!(matches!(error, RunError::Throttled), "{error}");
    }
}

#[tokio::test]
async fn a_throttled_launch_needs_another_token_for_its_own_repeats_the_failure() {
    let ecs = Ecs::with([failure("RunTask throttled"), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&wish(false)).await.unwrap(), TaskId::new("arn:t"));
    assert_eq!(ecs.asked("/clientToken"), ["sh_1-a1", "sh_1-a1-1"]);
}

#[tokio::test]
async fn what_can_never_run_is_refused_at_once() {
    for answer in [
        failure("MISSING"),
        failure("INACTIVE"),
        Refused("InvalidParameterException", message("TaskDefinition not found.")),
        Refused("ClusterNotFoundException", message("Cluster not found.")),
        Refused("AccessDeniedException", message("is not authorized to perform")),
        Refused("ClientException", message("TaskDefinition is inactive")),
        Refused("PlatformUnknownException", message("unknown")),
        Refused("UnsupportedFeatureException", message("unsupported")),
        Refused("BlockedException", message("blocked")),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&wish(true)).await.unwrap_err();
        assert!(matches!(error, RunError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn what_may_have_run_is_never_called_refused() {
    for answer in [
        Broken,
        Refused("ServerException", message("internal")),
        Refused("ExpiredTokenException", message("expired")),
        Told(json!({"tasks": [], "failures": []})),
    ] {
        let error = Ecs::with([answer]).await.compute.run(&wish(true)).await.unwrap_err();
        assert!(matches!(error, RunError::Backend(_)), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_came_with_other_settings_gives_the_first_task() {
    let fields = json!({"message": "in use", "resourceIds": ["arn:first"]});
    let ecs = Ecs::with([Refused("ConflictException", fields)]).await;
    assert_eq!(ecs.compute.run(&wish(false)).await.unwrap(), TaskId::new("arn:first"));
    let ecs = Ecs::with([Refused("ConflictException", json!({})), placed("arn:t")]).await;
    assert_eq!(ecs.compute.run(&wish(false)).await.unwrap(), TaskId::new("arn:t"));
}

#[tokio::test]
async fn what_the_deployment_does_not_have_is_not_asked_for() {
    let ecs = Ecs::with([]).await;
    let wishes = [
        RunTask { image: "other".into(), ..wish(false) },
        RunTask { network: Network::None, ..wish(false) },
    ];
    for wish in wishes {
        let error = ecs.compute.run(&wish).await.unwrap_err();
        assert!(matches!(error, RunError::Refused(_)), "{error}");
    }
    assert_eq!(ecs.calls(), []);
}
