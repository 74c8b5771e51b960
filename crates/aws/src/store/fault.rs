//! What goes wrong between us and the table, told without what was sent or received: both hold
//! secrets, and the SDK's own errors show them.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Whether it was done is not known.
    #[error("there was no answer in time")]
    Timeout,
    /// Whether it was done is not known.
    #[error("there was no answer: {0}")]
    Unreachable(String),
    /// The service said so.
    #[error("{code}: {message}")]
    Service { code: String, message: String },
    /// A transaction met others, or too many of them.
    #[error("the transaction met others: {0}")]
    Busy(String),
    /// A transaction can't be done as it stands.
    #[error("the transaction was cancelled: {0}")]
    Cancelled(String),
    /// What came back is not what it should be.
    #[error("the answer can't be read")]
    Unreadable,
    /// The words of the decoder are left out: they may quote the record.
    #[error("a record can't be {0}")]
    Record(&'static str),
    /// Others were faster, or the table was busy, again and again.
    #[error("given up after {tries} tries, the last of which met {last}")]
    GivenUp { tries: u32, last: String },
    /// Another write came in between, and hides whether ours was done.
    #[error("whether it was done can't be known any more")]
    Unknown,
}

impl Fault {
    /// What an SDK's error comes down to.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        if let Some(answer) = error.as_service_error() {
            // What stands before the service answers in no form of its own.
            let broken = error.raw_response().is_some_and(|raw| raw.status().is_server_error());
            return Self::service(answer, if broken { "ServiceUnavailable" } else { "no code" });
        }
        if let SdkError::DispatchFailure(failure) = error
            && !failure.is_timeout()
        {
            let words = failure.as_connector_error().map(|error| error_chain(error));
            return Self::Unreachable(words.unwrap_or_else(|| "the connection failed".to_owned()));
        }
        let timed_out = matches!(error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_));
        if timed_out { Self::Timeout } else { Self::Unreadable }
    }

    fn service(error: &impl ProvideErrorMetadata, unnamed: &str) -> Self {
        let message = error.message().unwrap_or("no message");
        // Some of its complaints about a request quote the request.
        let quotes = message.contains("Value '");
        let message = if quotes { "it has no form that is known there" } else { message };
        Self::Service {
            code: error.code().unwrap_or(unnamed).to_owned(),
            message: message.to_owned(),
        }
    }

    /// Whether trying the same again may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable(_) | Self::Unreadable | Self::Busy(_) => true,
            Self::Service { code, .. } => PASSING.contains(&code.as_str()),
            Self::Cancelled(_) | Self::Record(_) | Self::GivenUp { .. } | Self::Unknown => false,
        }
    }

    /// Whether the service has surely done nothing.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Service { code, .. } => !UNSURE.contains(&code.as_str()),
            Self::Busy(_) | Self::Cancelled(_) => true,
            Self::Timeout
            | Self::Unreachable(_)
            | Self::Unreadable
            | Self::Record(_)
            | Self::GivenUp { .. }
            | Self::Unknown => false,
        }
    }
}

/// Answers that another try may change.
const PASSING: [&str; 8] = [
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Answers that leave open whether it was done.
const UNSURE: [&str; 3] =
    ["InternalServerError", "ServiceUnavailable", "TransactionInProgressException"];

fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    DisplayErrorContext(error).to_string()
}
