//! What went wrong, as `application/problem+json` (RFC 9457).

use std::{borrow::Cow, error::Error};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::ports::{BackendError, CommitError};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The kinds of problems. Programs branch on the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    MalformedJson,
    Unauthenticated,
    NotFound,
    MethodNotAllowed,
    NotReady,
    SessionDraining,
    NotACommand,
    JobNotRunning,
    JobFinished,
    DeliveryPending,
    EndpointDisabled,
    SessionEnded,
    PayloadTooLarge,
    UnsupportedMediaType,
    IdempotencyMismatch,
    QuotaExceeded,
    Internal,
    StreamingUnavailable,
    Unavailable,
}

impl Code {
    /// Name, status, title.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => ("invalid_request", S::BAD_REQUEST, "Invalid request"),
            Self::MalformedJson => ("malformed_json", S::BAD_REQUEST, "Malformed JSON"),
            Self::Unauthenticated => ("unauthenticated", S::UNAUTHORIZED, "No valid token"),
            Self::NotFound => ("not_found", S::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", S::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::NotReady => ("not_ready", S::CONFLICT, "Not ready yet"),
            Self::SessionDraining => ("session_draining", S::CONFLICT, "Session is draining"),
            Self::NotACommand => ("not_a_command", S::CONFLICT, "Not the job of a command"),
            Self::JobNotRunning => ("job_not_running", S::CONFLICT, "Job is not running"),
            Self::JobFinished => ("job_finished", S::CONFLICT, "Job is finished"),
            Self::DeliveryPending => ("delivery_pending", S::CONFLICT, "Delivery is pending"),
            Self::EndpointDisabled => ("endpoint_disabled", S::CONFLICT, "Endpoint is disabled"),
            Self::SessionEnded => ("session_ended", S::GONE, "Session has ended"),
            Self::PayloadTooLarge => {
                ("payload_too_large", S::PAYLOAD_TOO_LARGE, "Payload too large")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::IdempotencyMismatch => {
                ("idempotency_mismatch", S::UNPROCESSABLE_ENTITY, "Another request has this key")
            }
            Self::QuotaExceeded => ("quota_exceeded", S::TOO_MANY_REQUESTS, "Too many sessions"),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::StreamingUnavailable => {
                ("streaming_unavailable", S::NOT_ACCEPTABLE, "No streaming here")
            }
            Self::Unavailable => ("unavailable", S::SERVICE_UNAVAILABLE, "Try again"),
        }
    }

    /// Seconds after which the same request may succeed; none if it won't.
    const fn retry_after(self) -> Option<u32> {
        match self {
            Self::NotReady | Self::Unavailable => Some(1),
            Self::QuotaExceeded => Some(5),
            Self::InvalidRequest
            | Self::MalformedJson
            | Self::Unauthenticated
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::SessionDraining
            | Self::NotACommand
            | Self::JobNotRunning
            | Self::JobFinished
            | Self::DeliveryPending
            | Self::EndpointDisabled
            | Self::SessionEnded
            | Self::PayloadTooLarge
            | Self::UnsupportedMediaType
            | Self::IdempotencyMismatch
            | Self::Internal
            | Self::StreamingUnavailable => None,
        }
    }
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) detail: Cow<'static, str>,
    /// It is right but for its size.
    pub(super) too_large: bool,
}

/// Where in a request something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// In the body, as a JSON pointer (RFC 6901).
    Pointer(String),
    /// In the query.
    Parameter(String),
    /// In a header.
    Header(&'static str),
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match &self.at {
            At::Pointer(pointer) => map.serialize_entry("pointer", pointer)?,
            At::Parameter(name) => map.serialize_entry("parameter", name)?,
            At::Header(name) => map.serialize_entry("header", name)?,
        }
        map.serialize_entry("detail", &self.detail)?;
        map.end()
    }
}

/// An answer that says no. The outermost layer writes its body, since that knows the request's id.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
}

/// The body of a problem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    retryable: bool,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    /// A problem that needs no more words.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), faults: Vec::new() }
    }

    /// All that is wrong with a request.
    pub(super) fn invalid(faults: Vec<Fault>) -> Self {
        let too_large = !faults.is_empty() && faults.iter().all(|fault| fault.too_large);
        let code = if too_large { Code::PayloadTooLarge } else { Code::InvalidRequest };
        let detail = match faults.as_slice() {
            [one] => Cow::Owned(format!("{}: {}", one.at, one.detail)),
            _ => Cow::Borrowed("several fields are wrong; see errors"),
        };
        Self { code, detail, faults }
    }

    /// There is no such object, or it is not the caller's.
    pub(super) fn not_found(what: &'static str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// What an answer without a body means.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(Code::NotFound, "there is no such route"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Code::MethodNotAllowed, "see the Allow header")
            }
            _ => Self::new(Code::Internal, "something went wrong on our side"),
        }
    }

    /// The HTTP status.
    pub(super) const fn status(&self) -> StatusCode {
        self.code.parts().1
    }

    /// `Retry-After`, if trying again may help.
    pub(super) const fn retry_after(&self) -> Option<u32> {
        self.code.retry_after()
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
            errors: &self.faults,
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pointer(pointer) if pointer.is_empty() => f.write_str("the body"),
            Self::Pointer(text) | Self::Parameter(text) => f.write_str(text),
            Self::Header(name) => f.write_str(name),
        }
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        tracing::error!(error = &error as &dyn Error, "a port failed");
        Self::new(Code::Unavailable, "a part of the service does not answer; try again")
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        if let CommitError::Backend(error) = error {
            return error.into();
        }
        tracing::warn!(error = &error as &dyn Error, "a write was refused again and again");
        Self::new(Code::Unavailable, "others changed the same record again and again; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
