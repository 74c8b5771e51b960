//! Webhooks to a user's endpoint: what is sent, when it is sent again, and when it is dropped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Secret, SessionId, Timestamp, UserId};

/// The endpoint to which a session's webhooks are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// An absolute URL. Secret, because users put keys into URLs.
    pub url: Secret<String>,
    /// The events to send; all if empty.
    pub events: Vec<EventType>,
    /// `whsec_` and the signing key in base64 (Standard Webhooks).
    pub secret: Secret<String>,
    /// Whether the endpoint answered 410 Gone; then nothing more is sent.
    pub gone: bool,
}

impl Endpoint {
    /// Whether this event is sent.
    pub fn wants(&self, event: EventType) -> bool {
        !self.gone && (self.events.is_empty() || self.events.contains(&event))
    }
}

/// The events that webhooks report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventType {
    #[serde(rename = "session.ready")]
    SessionReady,
    #[serde(rename = "session.expiring")]
    SessionExpiring,
    #[serde(rename = "session.stopped")]
    SessionStopped,
    #[serde(rename = "session.failed")]
    SessionFailed,
    #[serde(rename = "job.completed")]
    JobCompleted,
    #[serde(rename = "job.failed")]
    JobFailed,
    #[serde(rename = "job.timed_out")]
    JobTimedOut,
    #[serde(rename = "job.lost")]
    JobLost,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 8] = [
        Self::SessionReady,
        Self::SessionExpiring,
        Self::SessionStopped,
        Self::SessionFailed,
        Self::JobCompleted,
        Self::JobFailed,
        Self::JobTimedOut,
        Self::JobLost,
    ];

    /// The name in the body of the webhook.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionReady => "session.ready",
            Self::SessionExpiring => "session.expiring",
            Self::SessionStopped => "session.stopped",
            Self::SessionFailed => "session.failed",
            Self::JobCompleted => "job.completed",
            Self::JobFailed => "job.failed",
            Self::JobTimedOut => "job.timed_out",
            Self::JobLost => "job.lost",
        }
    }
}

/// Delays before the second, third, … attempt (the schedule of Standard Webhooks).
pub const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// How long a worker holds a delivery for one attempt; then another worker may make the next one.
pub const ATTEMPT_LEASE: Duration = Duration::from_secs(30);

/// One event to be sent to one endpoint. Its id is the `webhook-id`, the same in each attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Delivery {
    /// To be sent, at `due_at` or later.
    Pending(Pending),
    /// Not sent any more: delivered, dead or disabled.
    #[serde(rename = "settled")]
    Finished(Finished),
}

/// The event and the body of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The header `webhook-id`.
    pub id: DeliveryId,
    /// The owner of the session.
    pub user: UserId,
    /// The session, whose record has the endpoint.
    pub session: SessionId,
    /// The event.
    pub event: EventType,
    /// The JSON body that is signed and sent, byte for byte.
    pub body: Secret<String>,
    /// When the event happened.
    pub created_at: Timestamp,
}

/// One attempt to send a delivery, and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When the attempt began.
    pub at: Timestamp,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// A delivery that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    #[serde(rename = "parcel")]
    payload: Payload,
    tries: u32,
    attempts: Vec<Attempt>,
    due_at: Timestamp,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The endpoint answered with a status of 2xx.
    Delivered,
    /// All attempts failed.
    Dead,
    /// The endpoint answered 410 Gone, to this delivery or to an earlier one.
    Disabled,
}

/// A delivery that is not sent any more, unless its owner requests a redelivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    #[serde(rename = "parcel")]
    payload: Payload,
    outcome: Outcome,
    at: Timestamp,
    attempts: Vec<Attempt>,
}

impl Delivery {
    /// The event and the body.
    pub const fn payload(&self) -> &Payload {
        match self {
            Self::Pending(pending) => &pending.payload,
            Self::Finished(finished) => &finished.payload,
        }
    }

    /// The latest attempts, oldest first; 16 at most.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Pending(pending) => &pending.attempts,
            Self::Finished(finished) => &finished.attempts,
        }
    }

    /// When the delivery is due; none once it is finished.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending(pending) => Some(pending.due_at),
            Self::Finished(_) => None,
        }
    }
}

impl Pending {
    /// A new delivery, due at once.
    pub const fn new(payload: Payload) -> Self {
        let due_at = payload.created_at;
        Self { payload, tries: 0, attempts: Vec::new(), due_at }
    }

    /// The event and the body.
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// When the delivery is due.
    pub const fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// Claims the next attempt for a worker, for [`ATTEMPT_LEASE`].
    pub fn begin(mut self, now: Timestamp) -> Self {
        self.tries += 1;
        self.due_at = now + ATTEMPT_LEASE;
        self
    }

    /// How many attempts were begun since the last redelivery was requested.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// The attempt that was begun was not made, because the endpoint rests. It does not count, and the
    /// delivery is due again after this delay.
    pub fn postpone(mut self, delay: Duration, now: Timestamp) -> Self {
        self.tries = self.tries.saturating_sub(1);
        self.due_at = now + delay;
        self
    }

    /// The endpoint accepted the delivery.
    pub fn delivered(mut self, attempt: Attempt, now: Timestamp) -> Finished {
        self.record(attempt);
        self.finish(Outcome::Delivered, now)
    }

    /// The attempt failed: the delivery is due again later, or dead after the last attempt.
    /// `retry_after` is the delay that the endpoint asked for, honoured up to a day. `jitter`, from 0 to 1,
    /// lengthens the scheduled delay by up to a fifth.
    pub fn failed(
        mut self,
        attempt: Attempt,
        retry_after: Option<Duration>,
        jitter: f64,
        now: Timestamp,
    ) -> Delivery {
        self.record(attempt);
        let retries = usize::try_from(self.tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(delay) = RETRY_AFTER.get(retries) else {
            return self.finish(Outcome::Dead, now).into();
        };
        let scheduled = delay.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
        let requested = retry_after.unwrap_or_default().min(Duration::from_hours(24));
        self.due_at = now + scheduled.max(requested);
        self.into()
    }

    /// The endpoint is gone; `attempt` is the one that found this out, if it was of this delivery.
    pub fn disabled(mut self, attempt: Option<Attempt>, now: Timestamp) -> Finished {
        if let Some(attempt) = attempt {
            self.record(attempt);
        }
        self.finish(Outcome::Disabled, now)
    }

    fn record(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        // Each redelivery adds attempts, so the list is limited to the latest.
        let extra = self.attempts.len().saturating_sub(16);
        self.attempts.drain(..extra);
    }

    fn finish(self, outcome: Outcome, at: Timestamp) -> Finished {
        Finished { payload: self.payload, outcome, at, attempts: self.attempts }
    }
}

impl Finished {
    /// How the delivery ended.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When the delivery ended.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The owner requested a redelivery: the whole schedule again, with the same id.
    pub fn redeliver(self, now: Timestamp) -> Pending {
        Pending { payload: self.payload, tries: 0, attempts: self.attempts, due_at: now }
    }
}

from_states!(Delivery: Pending Finished);

#[cfg(test)]
mod tests;
