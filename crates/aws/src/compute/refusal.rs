//! What ECS means when it runs no task.

use aws_sdk_ecs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::run_task::RunTaskError,
    types::Failure,
};
use domain::{
    TaskId,
    ports::{BackendError, RunError},
};

/// What became of one request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This task runs for it, perhaps since an earlier try.
    Runs(TaskId),
    /// No room there, for as long as its token is remembered: ask elsewhere.
    NoRoom(String),
    /// Asking elsewhere is of no use now.
    Failed(RunError),
}

/// ECS answered, but with a failure in place of the task. From now on it gives the same answer to the
/// same token (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ECS_Idempotency.html>),
/// so even "later" needs another token.
pub(super) fn of_failure(failure: &Failure) -> Verdict {
    let reason = failure.reason().unwrap_or("without a reason");
    let words = match failure.detail() {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_owned(),
    };
    if reason.starts_with("RESOURCE:") || is_capacity(&words) || is_rate(&words) {
        Verdict::NoRoom(words)
    } else {
        Verdict::Failed(RunError::Refused(words))
    }
}

pub(super) fn of_error(error: SdkError<RunTaskError>) -> Verdict {
    let words = format!(
        "{}: {}",
        error.code().unwrap_or("without a code"),
        error.message().unwrap_or("without a message")
    );
    if is_throttled(error.code()) {
        return Verdict::Failed(RunError::Throttled);
    }
    match error.as_service_error() {
        // The settings changed between two tries; the first one's task is the one that counts.
        Some(RunTaskError::ConflictException(conflict)) => match conflict.resource_ids().first() {
            Some(arn) => Verdict::Runs(TaskId::new(arn)),
            None => Verdict::NoRoom(words),
        },
        Some(_) if is_capacity(&words) => Verdict::NoRoom(words),
        // ECS asks EC2 for the subnet and the group, and says by InvalidParameterException that EC2 was
        // asked too often (<https://github.com/dask/dask-cloudprovider/issues/56>).
        Some(_) if is_rate(&words) => Verdict::Failed(RunError::Throttled),
        Some(
            RunTaskError::AccessDeniedException(_)
            | RunTaskError::BlockedException(_)
            | RunTaskError::ClientException(_)
            | RunTaskError::ClusterNotFoundException(_)
            | RunTaskError::InvalidParameterException(_)
            | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)
            | RunTaskError::PlatformUnknownException(_)
            | RunTaskError::UnsupportedFeatureException(_),
        ) => Verdict::Failed(RunError::Refused(words)),
        // A server's error, one that is not known, or none: a task may have been run.
        _ => Verdict::Failed(BackendError::new("running a task", error).into()),
    }
}

/// The codes of AWS's services for "too often".
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

/// "Capacity is unavailable at this time", "You've reached the limit on the number of vCPUs".
fn is_capacity(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("capacity is unavailable") || words.contains("reached the limit")
}

/// "RunTask throttled", "Rate exceeded", "Request limit exceeded".
fn is_rate(words: &str) -> bool {
    let words = words.to_lowercase();
    ["throttl", "rate exceeded", "request limit exceeded"].iter().any(|of| words.contains(of))
}
