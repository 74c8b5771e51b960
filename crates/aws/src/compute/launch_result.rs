//! Classifies the responses to RunTask.

use aws_sdk_ecs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::run_task::RunTaskError,
    types::Failure,
};
use domain::{
    TaskId,
    ports::{BackendError, RunError},
};

/// The result of one request to run a task.
#[derive(Debug)]
pub(super) enum LaunchResult {
    /// The task runs for this request, possibly since an earlier attempt.
    Started(TaskId),
    /// No capacity at this placement for as long as ECS remembers the token; try the next one.
    NoCapacity(String),
    /// The account's quota for this capacity is used up, in every subnet.
    QuotaReached(String),
    /// The subnet's availability zone does not run this task at all; try the next placement.
    ZoneUnsupported(String),
    /// Another placement does not help.
    Failed(RunError),
}

/// Classifies a failure in place of a task. From now on ECS gives the same response to the same token
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ECS_Idempotency.html>), so even a
/// temporary failure needs another token.
pub(super) fn from_failure(failure: &Failure) -> LaunchResult {
    let reason = failure.reason().unwrap_or("no reason given");
    let message = match failure.detail() {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_owned(),
    };
    if is_quota(&message) {
        LaunchResult::QuotaReached(message)
    } else if reason.starts_with("RESOURCE:") || is_capacity(&message) || is_rate(&message) {
        LaunchResult::NoCapacity(message)
    } else {
        LaunchResult::Failed(RunError::Refused(message))
    }
}

/// Classifies an error of the call.
pub(super) fn from_error(error: SdkError<RunTaskError>) -> LaunchResult {
    let message = format!(
        "{}: {}",
        error.code().unwrap_or("no code"),
        error.message().unwrap_or("no message")
    );
    if is_throttled(error.code()) {
        return LaunchResult::Failed(RunError::Throttled);
    }
    match error.as_service_error() {
        // The settings changed between two attempts; the task of the first attempt counts.
        Some(RunTaskError::ConflictException(conflict)) => match conflict.resource_ids().first() {
            Some(arn) => LaunchResult::Started(TaskId::new(arn)),
            None => LaunchResult::NoCapacity(message),
        },
        Some(_) if is_quota(&message) => LaunchResult::QuotaReached(message),
        Some(_) if is_capacity(&message) => LaunchResult::NoCapacity(message),
        Some(RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)) => {
            LaunchResult::ZoneUnsupported(message)
        }
        Some(
            RunTaskError::ClientException(_)
            | RunTaskError::InvalidParameterException(_)
            | RunTaskError::UnsupportedFeatureException(_),
        ) if is_zone(&message) => LaunchResult::ZoneUnsupported(message),
        // ECS asks EC2 for the subnet and the security group, and reports EC2's throttling as
        // InvalidParameterException (<https://github.com/dask/dask-cloudprovider/issues/56>).
        Some(_) if is_rate(&message) => LaunchResult::Failed(RunError::Throttled),
        Some(
            RunTaskError::AccessDeniedException(_)
            | RunTaskError::BlockedException(_)
            | RunTaskError::ClientException(_)
            | RunTaskError::ClusterNotFoundException(_)
            | RunTaskError::InvalidParameterException(_)
            | RunTaskError::PlatformUnknownException(_)
            | RunTaskError::UnsupportedFeatureException(_),
        ) => LaunchResult::Failed(RunError::Refused(message)),
        // A server error, an unknown error or no response: a task may have been started.
        _ => LaunchResult::Failed(BackendError::new("running a task", error).into()),
    }
}

/// Whether AWS uses this error code for throttling.
pub(crate) fn is_throttled(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ThrottlingException"
                | "Throttling"
                | "ThrottledException"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
                | "RequestThrottled"
        )
    )
}

/// "Capacity is unavailable at this time. Please try again later or in a different availability zone".
fn is_capacity(message: &str) -> bool {
    message.to_lowercase().contains("capacity is unavailable")
}

/// "You've reached the limit on the number of vCPUs you can run concurrently".
fn is_quota(message: &str) -> bool {
    message.to_lowercase().contains("reached the limit")
}

/// "Fargate is not supported in the requested availability zone". Some zones have no Fargate, or none for
/// arm64 (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-arm64.html>).
fn is_zone(message: &str) -> bool {
    message.to_lowercase().contains("availability zone")
}

/// "RunTask throttled", "Rate exceeded", "Request limit exceeded".
fn is_rate(message: &str) -> bool {
    let message = message.to_lowercase();
    ["throttl", "rate exceeded", "request limit exceeded"].iter().any(|of| message.contains(of))
}
