use std::time::Duration;

use serde_json::{Value, json};

use super::json;
use crate::message::{
    AGENT_VERSION, ActionStatus, HandshakeRequest, HandshakeResponse, ProcessedAction,
    RequestedAction,
};

/// The time for which the server waits for a HandshakeResponse. Some clients never answer and still get their session.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The state of the handshake, which the agent initiates.
#[derive(Debug)]
pub(super) enum Handshake {
    /// No handshake, or a completed handshake.
    None,
    /// Server: the request was created at `at`; the timeout starts with the first connection.
    Requested { at: Duration, until: Option<Duration> },
    /// Client: the response was sent; the agent discards input until HandshakeComplete.
    Answered,
}

impl Handshake {
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Requested { until, .. } => *until,
            Self::None | Self::Answered => None,
        }
    }

    pub(super) fn connected(&mut self, now: Duration) {
        if let Self::Requested { until, .. } = self {
            until.get_or_insert(now + RESPONSE_TIMEOUT);
        }
    }

    /// The time since the request, in nanoseconds.
    pub(super) fn age(&self, now: Duration) -> u64 {
        match self {
            Self::Requested { at, .. } => {
                u64::try_from(now.saturating_sub(*at).as_nanos()).unwrap_or(u64::MAX)
            }
            Self::None | Self::Answered => 0,
        }
    }

    /// Starts the handshake for a plain terminal session and returns the payload of the request.
    pub(super) fn request(&mut self, now: Duration) -> Vec<u8> {
        *self = Self::Requested { at: now, until: None };
        json(&HandshakeRequest {
            agent_version: AGENT_VERSION.to_owned(),
            requested_client_actions: vec![RequestedAction {
                action_type: "SessionType".to_owned(),
                action_parameters: json!({"SessionType": "Standard_Stream", "Properties": null}),
            }],
        })
    }

    /// Answers a request as a client without encryption and returns the payload of the response.
    pub(super) fn answer(&mut self, request: &[u8], client_version: &str) -> Vec<u8> {
        *self = Self::Answered;
        let actions = serde_json::from_slice(request)
            .map(|request: HandshakeRequest| request.requested_client_actions);
        let processed: Vec<_> = actions.unwrap_or_default().into_iter().map(process).collect();
        let errors = processed.iter().map(|action| &action.error);
        let errors = errors.filter(|error| !error.is_empty()).cloned().collect();
        json(&HandshakeResponse {
            client_version: client_version.to_owned(),
            processed_client_actions: processed,
            errors: Some(errors),
        })
    }
}

/// Whether a HandshakeResponse accepts all requested actions.
pub(super) fn is_accepted(response: &[u8]) -> bool {
    let response = serde_json::from_slice(response);
    response.is_ok_and(|response: HandshakeResponse| {
        let actions = &response.processed_client_actions;
        actions.iter().all(|action| action.action_status == ActionStatus::Success as u32)
    })
}

fn process(action: RequestedAction) -> ProcessedAction {
    let (status, error) = match action.action_type.as_str() {
        "SessionType" => (ActionStatus::Success, String::new()),
        "KMSEncryption" => (ActionStatus::Failed, "KMS encryption is not supported".to_owned()),
        other => (ActionStatus::Unsupported, format!("unsupported action {other}")),
    };
    ProcessedAction {
        action_type: action.action_type,
        action_status: status as u32,
        action_result: Value::Null,
        error,
    }
}
