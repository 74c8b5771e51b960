use std::time::Duration;

use serde_json::{Value, json};

use super::json;
use crate::message::{
    AGENT_VERSION, ActionStatus, CLIENT_VERSION, HandshakeRequest, HandshakeResponse,
    ProcessedAction, RequestedAction,
};

/// How long the server waits for an answer. Some clients give none, and get their session all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// A handshake, which the agent leads.
#[derive(Debug)]
pub(super) enum Handshake {
    /// None, or done.
    None,
    /// Server: asked at this time; waits from the first connection on.
    Asked { at: Duration, until: Option<Duration> },
    /// Client: answered; the agent throws away what it gets before it says complete.
    Answered,
}

impl Handshake {
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Asked { until, .. } => *until,
            Self::None | Self::Answered => None,
        }
    }

    pub(super) fn connected(&mut self, now: Duration) {
        if let Self::Asked { until, .. } = self {
            until.get_or_insert(now + PATIENCE);
        }
    }

    /// Nanoseconds since the request.
    pub(super) fn age(&self, now: Duration) -> u64 {
        match self {
            Self::Asked { at, .. } => {
                u64::try_from(now.saturating_sub(*at).as_nanos()).unwrap_or(u64::MAX)
            }
            Self::None | Self::Answered => 0,
        }
    }

    /// Starts one as the agent does for a plain terminal, and gives the payload.
    pub(super) fn request(&mut self, now: Duration) -> Vec<u8> {
        *self = Self::Asked { at: now, until: None };
        json(&HandshakeRequest {
            agent_version: AGENT_VERSION.to_owned(),
            requested_client_actions: vec![RequestedAction {
                action_type: "SessionType".to_owned(),
                action_parameters: json!({"SessionType": "Standard_Stream", "Properties": null}),
            }],
        })
    }

    /// Answers one as a client that knows no encryption, and gives the payload.
    pub(super) fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        *self = Self::Answered;
        let actions = serde_json::from_slice(request)
            .map(|request: HandshakeRequest| request.requested_client_actions);
        let processed: Vec<_> = actions.unwrap_or_default().into_iter().map(process).collect();
        let errors = processed.iter().map(|action| &action.error);
        let errors = errors.filter(|error| !error.is_empty()).cloned().collect();
        json(&HandshakeResponse {
            client_version: CLIENT_VERSION.to_owned(),
            processed_client_actions: processed,
            errors: Some(errors),
        })
    }
}

/// Whether a client takes the session for what it is.
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
