//! Failures of calls to the table. No message contains what was sent or received: both hold secrets,
//! and the SDK's own errors quote them.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A call to the table failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No response in time; the call may have taken effect.
    #[error("the table did not respond in time")]
    Timeout,
    /// No response; the call may have taken effect.
    #[error("the table is unreachable: {0}")]
    Unreachable(String),
    /// DynamoDB answered with this error.
    #[error("{code}: {message}")]
    Service { code: String, message: String },
    /// A transaction was cancelled by a concurrent one or by throttling; another attempt may succeed.
    #[error("transaction conflict: {0}")]
    TransactionConflict(String),
    /// A transaction was cancelled for a reason that another attempt does not change.
    #[error("the transaction was cancelled: {0}")]
    TransactionCancelled(String),
    /// The response is not a valid one; the call may have taken effect.
    #[error("the response of the table cannot be decoded")]
    InvalidResponse,
    /// A record cannot be encoded. The encoder's message is left out because it may quote the record.
    #[error("a record cannot be encoded")]
    Encode,
    /// An item cannot be decoded. The decoder's message is left out because it may quote the record.
    #[error("a record cannot be decoded")]
    Decode,
    /// The part that an item refers to is missing.
    #[error("a record is incomplete: its part is missing")]
    MissingPart,
    /// Every attempt failed for a reason that another attempt might have changed.
    #[error("abandoned after {attempts} attempts; the last one failed: {last}")]
    RetriesExhausted { attempts: u32, last: String },
    /// A later write of another process hides whether the call took effect.
    #[error("the outcome of the write is unknown: a later write replaced the item")]
    UnknownOutcome,
}

impl StoreError {
    /// Classifies an error of the SDK.
    pub(crate) fn from_sdk<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        if let Some(refused) = error.as_service_error() {
            // A load balancer in front of the service answers with a body of another format.
            let failed = error.raw_response().is_some_and(|raw| raw.status().is_server_error());
            return Self::service(refused, if failed { "ServiceUnavailable" } else { "no code" });
        }
        if let SdkError::DispatchFailure(failure) = error
            && !failure.is_timeout()
        {
            let message = failure.as_connector_error().map(|error| error_chain(error));
            return Self::Unreachable(
                message.unwrap_or_else(|| "the connection failed".to_owned()),
            );
        }
        let timed_out = matches!(error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_));
        if timed_out { Self::Timeout } else { Self::InvalidResponse }
    }

    fn service(error: &impl ProvideErrorMetadata, default_code: &str) -> Self {
        let message = error.message().unwrap_or("no message");
        // Validation messages of this form quote the request.
        let quotes = message.contains("Value '");
        let message = if quotes { "the request failed validation" } else { message };
        Self::Service {
            code: error.code().unwrap_or(default_code).to_owned(),
            message: message.to_owned(),
        }
    }

    /// Whether another attempt of the same call may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Unreachable(_)
            | Self::InvalidResponse
            | Self::TransactionConflict(_) => true,
            Self::Service { code, .. } => RETRYABLE.contains(&code.as_str()),
            Self::TransactionCancelled(_)
            | Self::Encode
            | Self::Decode
            | Self::MissingPart
            | Self::RetriesExhausted { .. }
            | Self::UnknownOutcome => false,
        }
    }

    /// Whether the call certainly had no effect.
    pub(crate) fn had_no_effect(&self) -> bool {
        match self {
            Self::Service { code, .. } => !AMBIGUOUS.contains(&code.as_str()),
            Self::TransactionConflict(_) | Self::TransactionCancelled(_) => true,
            Self::Timeout
            | Self::Unreachable(_)
            | Self::InvalidResponse
            | Self::Encode
            | Self::Decode
            | Self::MissingPart
            | Self::RetriesExhausted { .. }
            | Self::UnknownOutcome => false,
        }
    }
}

/// Error codes after which another attempt may succeed.
const RETRYABLE: [&str; 8] = [
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Error codes that leave open whether the call took effect.
const AMBIGUOUS: [&str; 3] =
    ["InternalServerError", "ServiceUnavailable", "TransactionInProgressException"];

fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    DisplayErrorContext(error).to_string()
}
