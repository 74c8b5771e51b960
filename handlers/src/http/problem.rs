//! Refusals and failures, answered as `application/problem+json` (RFC 9457).

use std::{borrow::Cow, error::Error, fmt::Display, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::ports::{BackendError, CommitError};
use serde::Serialize;

use super::rule::FieldError;

/// The most errors that a response lists, so that it is not much larger than the request.
const MAX_ERRORS: usize = 20;
/// The most characters of a text that was given as an id, as a response repeats it.
const MAX_ID: usize = 64;

/// The kinds of problems. Programs branch on the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case", inline))]
pub(super) enum Code {
    InvalidRequest,
    InvalidPath,
    InvalidArchive,
    MalformedJson,
    Unauthenticated,
    RootDenied,
    PermissionDenied,
    TerminalsDenied,
    NotFound,
    PathNotFound,
    MethodNotAllowed,
    NotReady,
    SessionDraining,
    NotACommand,
    NotATerminal,
    NoRecording,
    JobNotRunning,
    JobFinished,
    DeliveryPending,
    EndpointDisabled,
    NotAFile,
    NotADirectory,
    DirectoryNotEmpty,
    FileError,
    SessionEnded,
    PayloadTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    PreconditionFailed,
    IdempotencyMismatch,
    QuotaExceeded,
    RateLimited,
    QueueFull,
    StorageExceeded,
    TooManyRequests,
    CapacityExceeded,
    Internal,
    StreamingUnavailable,
    NotAcceptable,
    FilesUnavailable,
    UploadRequired,
    UploadsUnavailable,
    UploadNotFound,
    TransferFailed,
    TransferExpired,
    ProcessesUnavailable,
    Unavailable,
    InsufficientStorage,
    ShellDiskFull,
}

impl Code {
    #[cfg(test)]
    pub(super) const ALL: [Self; 49] = [
        Self::InvalidRequest,
        Self::InvalidPath,
        Self::InvalidArchive,
        Self::MalformedJson,
        Self::Unauthenticated,
        Self::RootDenied,
        Self::PermissionDenied,
        Self::TerminalsDenied,
        Self::NotFound,
        Self::PathNotFound,
        Self::MethodNotAllowed,
        Self::NotReady,
        Self::SessionDraining,
        Self::NotACommand,
        Self::NotATerminal,
        Self::NoRecording,
        Self::JobNotRunning,
        Self::JobFinished,
        Self::DeliveryPending,
        Self::EndpointDisabled,
        Self::NotAFile,
        Self::NotADirectory,
        Self::DirectoryNotEmpty,
        Self::FileError,
        Self::SessionEnded,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::PreconditionFailed,
        Self::IdempotencyMismatch,
        Self::QuotaExceeded,
        Self::RateLimited,
        Self::QueueFull,
        Self::StorageExceeded,
        Self::TooManyRequests,
        Self::CapacityExceeded,
        Self::Internal,
        Self::StreamingUnavailable,
        Self::NotAcceptable,
        Self::FilesUnavailable,
        Self::UploadRequired,
        Self::UploadsUnavailable,
        Self::UploadNotFound,
        Self::TransferFailed,
        Self::TransferExpired,
        Self::ProcessesUnavailable,
        Self::Unavailable,
        Self::InsufficientStorage,
        Self::ShellDiskFull,
    ];

    /// Name, status, title.
    pub(super) const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => ("invalid_request", S::BAD_REQUEST, "Invalid request"),
            Self::InvalidPath => ("invalid_path", S::BAD_REQUEST, "Invalid path"),
            Self::InvalidArchive => ("invalid_archive", S::BAD_REQUEST, "Invalid archive"),
            Self::MalformedJson => ("malformed_json", S::BAD_REQUEST, "Malformed JSON"),
            Self::Unauthenticated => ("unauthenticated", S::UNAUTHORIZED, "No valid token"),
            Self::RootDenied => ("root_denied", S::FORBIDDEN, "No commands as root here"),
            Self::PermissionDenied => ("permission_denied", S::FORBIDDEN, "Permission denied"),
            Self::PathNotFound => ("path_not_found", S::NOT_FOUND, "No such file or directory"),
            Self::TerminalsDenied => ("terminals_denied", S::FORBIDDEN, "No terminals here"),
            Self::NotFound => ("not_found", S::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", S::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::NotReady => ("not_ready", S::CONFLICT, "Not ready yet"),
            Self::SessionDraining => ("session_draining", S::CONFLICT, "Session is draining"),
            Self::NotACommand => ("not_a_command", S::CONFLICT, "Not the job of a command"),
            Self::NotATerminal => ("not_a_terminal", S::CONFLICT, "Not the job of a terminal"),
            Self::NoRecording => ("no_recording", S::NOT_FOUND, "No recording"),
            Self::JobNotRunning => ("job_not_running", S::CONFLICT, "Job is not running"),
            Self::JobFinished => ("job_finished", S::CONFLICT, "Job is finished"),
            Self::DeliveryPending => ("delivery_pending", S::CONFLICT, "Delivery is pending"),
            Self::EndpointDisabled => ("endpoint_disabled", S::CONFLICT, "Endpoint is disabled"),
            Self::NotAFile => ("not_a_file", S::CONFLICT, "Not a file"),
            Self::NotADirectory => ("not_a_directory", S::CONFLICT, "Not a directory"),
            Self::DirectoryNotEmpty => {
                ("directory_not_empty", S::CONFLICT, "Directory is not empty")
            }
            Self::FileError => ("file_error", S::CONFLICT, "The file can't be used"),
            Self::SessionEnded => ("session_ended", S::GONE, "Session has ended"),
            Self::PayloadTooLarge => {
                ("payload_too_large", S::PAYLOAD_TOO_LARGE, "Payload too large")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::RangeNotSatisfiable => {
                ("range_not_satisfiable", S::RANGE_NOT_SATISFIABLE, "Nothing in this range")
            }
            Self::PreconditionFailed => {
                ("precondition_failed", S::PRECONDITION_FAILED, "The file has changed")
            }
            Self::IdempotencyMismatch => {
                ("idempotency_mismatch", S::UNPROCESSABLE_ENTITY, "Another request has this key")
            }
            Self::QuotaExceeded => ("quota_exceeded", S::TOO_MANY_REQUESTS, "Too many sessions"),
            Self::RateLimited => {
                ("rate_limited", S::TOO_MANY_REQUESTS, "Sessions are started too fast")
            }
            Self::QueueFull => ("queue_full", S::TOO_MANY_REQUESTS, "Too many queued jobs"),
            Self::StorageExceeded => {
                ("storage_exceeded", S::TOO_MANY_REQUESTS, "Too much is stored")
            }
            Self::TooManyRequests => {
                ("too_many_requests", S::TOO_MANY_REQUESTS, "Too many requests at once")
            }
            Self::CapacityExceeded => {
                ("capacity_exceeded", S::TOO_MANY_REQUESTS, "The server is full")
            }
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::StreamingUnavailable => {
                ("streaming_unavailable", S::NOT_ACCEPTABLE, "No streaming here")
            }
            Self::NotAcceptable => ("not_acceptable", S::NOT_ACCEPTABLE, "Not acceptable"),
            Self::FilesUnavailable => {
                ("files_unavailable", S::NOT_IMPLEMENTED, "No transfer of files here")
            }
            Self::UploadRequired => ("upload_required", S::CONFLICT, "Upload the bytes first"),
            Self::UploadsUnavailable => {
                ("uploads_unavailable", S::NOT_IMPLEMENTED, "Send the bytes themselves")
            }
            Self::UploadNotFound => ("upload_not_found", S::NOT_FOUND, "Nothing was uploaded"),
            Self::TransferFailed => {
                ("transfer_failed", S::SERVICE_UNAVAILABLE, "The transfer failed")
            }
            Self::TransferExpired => ("transfer_expired", S::GONE, "The bytes are removed"),
            Self::ProcessesUnavailable => {
                ("processes_unavailable", S::NOT_IMPLEMENTED, "No processes here")
            }
            Self::ShellDiskFull => {
                ("shell_disk_full", S::INSUFFICIENT_STORAGE, "The disk of the shell is full")
            }
            Self::InsufficientStorage => {
                ("insufficient_storage", S::INSUFFICIENT_STORAGE, "The disk is almost full")
            }
            Self::Unavailable => ("unavailable", S::SERVICE_UNAVAILABLE, "Try again"),
        }
    }

    /// Seconds after which the same request may succeed, unless the problem knows better; none if a retry can't help.
    pub(super) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::NotReady | Self::RateLimited | Self::Unavailable | Self::TransferFailed => {
                Some(1)
            }
            Self::QuotaExceeded
            | Self::CapacityExceeded
            | Self::QueueFull
            | Self::TooManyRequests => Some(5),
            Self::InsufficientStorage => Some(30),
            Self::StorageExceeded => Some(60),
            Self::InvalidRequest
            | Self::InvalidPath
            | Self::InvalidArchive
            | Self::PermissionDenied
            | Self::PathNotFound
            | Self::NotAFile
            | Self::NotADirectory
            | Self::DirectoryNotEmpty
            | Self::FileError
            | Self::RangeNotSatisfiable
            | Self::PreconditionFailed
            | Self::FilesUnavailable
            | Self::UploadRequired
            | Self::UploadsUnavailable
            | Self::UploadNotFound
            | Self::TransferExpired
            | Self::ProcessesUnavailable
            | Self::ShellDiskFull
            | Self::MalformedJson
            | Self::Unauthenticated
            | Self::RootDenied
            | Self::TerminalsDenied
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::SessionDraining
            | Self::NotACommand
            | Self::NotATerminal
            | Self::NoRecording
            | Self::JobNotRunning
            | Self::JobFinished
            | Self::DeliveryPending
            | Self::EndpointDisabled
            | Self::SessionEnded
            | Self::PayloadTooLarge
            | Self::UnsupportedMediaType
            | Self::IdempotencyMismatch
            | Self::Internal
            | Self::NotAcceptable
            | Self::StreamingUnavailable => None,
        }
    }
}

/// One thing that is wrong with a request, in exactly one of its body, its query and its headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(super) struct InputError {
    /// A JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// A parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'static str>,
    detail: Cow<'static, str>,
}

/// A refusal or a failure, as an answer. The outermost layer writes its body, since that layer knows
/// the request's id.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<InputError>,
    /// Seconds after which the same request may succeed, where they are known.
    retry_after: Option<u32>,
}

/// The body of a problem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub(super) struct Body<'a> {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    r#type: String,
    title: &'static str,
    #[cfg_attr(test, schemars(range(min = 400, max = 599)))]
    status: u16,
    detail: &'a str,
    #[cfg_attr(test, schemars(with = "Code"))]
    code: &'static str,
    /// Whether the same request may succeed later, after `Retry-After`.
    retryable: bool,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[InputError]>::is_empty")]
    errors: &'a [InputError],
}

impl Problem {
    /// A problem of this kind. `detail` is a sentence for people: what failed and what to do next.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// A request with these errors, of which the response lists the first.
    pub(super) fn invalid(mut errors: Vec<InputError>) -> Self {
        let detail = match errors.as_slice() {
            [error] => Cow::Owned(format!("{}: {}", error.place(), error.detail)),
            more if more.len() > MAX_ERRORS => {
                Cow::Owned(format!("more than {MAX_ERRORS} fields are invalid; see errors"))
            }
            _ => Cow::Borrowed("several fields are invalid; see errors"),
        };
        errors.truncate(MAX_ERRORS);
        Self { code: Code::InvalidRequest, detail, errors, retry_after: None }
    }

    /// The user may start a session after this time.
    fn rate_limited(wait: Duration) -> Self {
        let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        let detail = format!(
            "you started sessions faster than this server allows; start the next in {seconds} s"
        );
        Self { retry_after: Some(seconds), ..Self::new(Code::RateLimited, detail) }
    }

    /// What this id names does not exist, or belongs to another user.
    pub(super) fn not_found(kind: &str, id: impl Display) -> Self {
        let detail =
            format!("you have no {kind} {id}; it may have been removed, or belong to another user");
        Self::new(Code::NotFound, detail)
    }

    /// The text is no id of the kind that the request needs.
    pub(super) fn invalid_id(text: &str, error: impl Display) -> Self {
        let text: String = text.chars().take(MAX_ID).collect();
        Self::new(Code::NotFound, format!("{text:?} is {error}"))
    }

    /// The problem behind an answer of the framework that has only a status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(Code::NotFound, "the API has no such path; see GET /v1/openapi.json")
            }
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this path has other methods; see the Allow header",
            ),
            _ => Self::new(Code::Internal, "an internal error occurred; report the requestId"),
        }
    }

    /// The HTTP status.
    pub(super) const fn status(&self) -> StatusCode {
        self.code.parts().1
    }

    /// `Retry-After` in seconds, if the same request may succeed later.
    pub(super) fn retry_after(&self) -> Option<u32> {
        self.retry_after.or(self.code.retry_after())
    }

    /// The body, for the request of this id.
    pub(super) fn body<'a>(&'a self, request_id: &'a str) -> Body<'a> {
        let (code, status, title) = self.code.parts();
        Body {
            r#type: format!("urn:ephemeral:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            retryable: self.retry_after().is_some(),
            request_id,
            errors: &self.errors,
        }
    }
}

impl InputError {
    /// An error in the object of the body that this JSON pointer names.
    pub(super) fn in_body(object: &str, error: FieldError) -> Self {
        let pointer = format!("{object}{}", error.pointer);
        Self { pointer: Some(pointer), ..Self::of(error) }
    }

    /// An error in a parameter of the query.
    pub(super) fn in_query(name: &str, error: FieldError) -> Self {
        Self { parameter: Some(name.to_owned()), ..Self::of(error) }
    }

    /// An error in a header.
    pub(super) fn in_header(name: &'static str, detail: &'static str) -> Self {
        Self { header: Some(name), ..Self::of(FieldError::new(detail)) }
    }

    fn of(error: FieldError) -> Self {
        Self { pointer: None, parameter: None, header: None, detail: error.detail }
    }

    /// The part of the request, for people.
    fn place(&self) -> &str {
        let name = self.pointer.as_deref().or(self.parameter.as_deref()).or(self.header);
        name.filter(|name| !name.is_empty()).unwrap_or("the body")
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        tracing::error!(error = &error as &dyn Error, "a backend failed while answering a request");
        let detail = "a backend is unavailable; retry with the same Idempotency-Key";
        Self::new(Code::Unavailable, detail)
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Backend(error) => error.into(),
            CommitError::RateLimited(wait) => Self::rate_limited(wait),
            CommitError::StorageExceeded => {
                let detail = "your sessions on record store as much as this server allows; older ones \
                              are removed after their retention";
                Self::new(Code::StorageExceeded, detail)
            }
            CommitError::DiskFull => {
                let detail = "the disk of this server is almost full; only stops and cancellations \
                              are accepted";
                Self::new(Code::InsufficientStorage, detail)
            }
            CommitError::QueueFull => {
                let detail = "the session has as many unfinished commands as this server allows; wait \
                              for some of them to end";
                Self::new(Code::QueueFull, detail)
            }
            CommitError::Conflict
            | CommitError::QuotaReached
            | CommitError::NoCapacity
            | CommitError::AlreadyAnswered
            | CommitError::Closed
            | CommitError::TooManyRunning => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "gave up a request after repeated conflicts");
                Self::new(Code::Unavailable, "the session was modified concurrently; retry")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
