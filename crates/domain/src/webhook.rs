//! Calls to a user's endpoint: what is sent, when it is sent again, when we give up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Secret, SessionId, Timestamp, UserId};

/// Where a session's events go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// An absolute URL. Hidden: users put keys in there.
    pub url: Secret<String>,
    /// The events wanted; all if empty.
    pub events: Vec<EventType>,
    /// `whsec_` and the base64 key that signs.
    pub secret: Secret<String>,
    /// The endpoint answered 410 Gone; nothing is sent any more.
    pub gone: bool,
}

impl Endpoint {
    /// Whether this event is to be sent.
    pub fn wants(&self, event: EventType) -> bool {
        !self.gone && (self.events.is_empty() || self.events.contains(&event))
    }
}

/// What a webhook can tell.
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

    /// The type as it stands in the body.
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

/// Waits before the second, third, … attempt (Standard Webhooks' schedule).
pub const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// How long an attempt may take before another worker may try.
pub const ATTEMPT_LEASE: Duration = Duration::from_secs(30);

/// One event on its way to one endpoint. Its id is the `webhook-id`, the same in each attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Delivery {
    /// To be sent, now or later.
    Pending(Pending),
    /// Done with: delivered, given up or the endpoint is gone.
    Settled(Settled),
}

/// What a delivery is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The `webhook-id`.
    pub id: DeliveryId,
    /// Whose event it is.
    pub user: UserId,
    /// The session it belongs to; its record has the endpoint.
    pub session: SessionId,
    /// What happened.
    pub event: EventType,
    /// The JSON that is signed and sent, byte for byte.
    pub body: Secret<String>,
    /// When it happened.
    pub created_at: Timestamp,
}

/// One call and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What went wrong, in a word or two.
    pub error: Option<String>,
}

/// A delivery that is due at some time.
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
    /// A 2xx came back.
    Delivered,
    /// All attempts failed.
    Dead,
    /// The endpoint said 410, now or in an earlier delivery.
    Disabled,
}

/// A delivery that is over, unless its owner asks for it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    #[serde(rename = "parcel")]
    payload: Payload,
    outcome: Outcome,
    at: Timestamp,
    attempts: Vec<Attempt>,
}

impl Delivery {
    /// A new delivery, due at once.
    #[expect(clippy::new_ret_no_self, reason = "a delivery is born pending")]
    pub fn new(payload: Payload) -> Pending {
        let due_at = payload.created_at;
        Pending { payload, tries: 0, attempts: Vec::new(), due_at }
    }

    /// What it is about.
    pub const fn payload(&self) -> &Payload {
        match self {
            Self::Pending(pending) => &pending.payload,
            Self::Settled(settled) => &settled.payload,
        }
    }

    /// The calls so far.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Pending(pending) => &pending.attempts,
            Self::Settled(settled) => &settled.attempts,
        }
    }

    /// When someone must look at it; none if it is settled.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending(pending) => Some(pending.due_at),
            Self::Settled(_) => None,
        }
    }
}

impl Pending {
    /// What it is about.
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// When it may be sent.
    pub const fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// Claims the next attempt for this worker.
    pub fn begin(mut self, now: Timestamp) -> Self {
        self.tries += 1;
        self.due_at = now + ATTEMPT_LEASE;
        self
    }

    /// The endpoint took it.
    pub fn delivered(mut self, attempt: Attempt, now: Timestamp) -> Settled {
        self.note(attempt);
        self.settle(Outcome::Delivered, now)
    }

    /// The attempt failed: due again later, or dead after the last one. `retry_after` is the
    /// endpoint's wish; `jitter` in 0..1 spreads the wait by up to a fifth.
    pub fn failed(
        mut self,
        attempt: Attempt,
        retry_after: Option<Duration>,
        jitter: f64,
        now: Timestamp,
    ) -> Delivery {
        self.note(attempt);
        let done = usize::try_from(self.tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(wait) = RETRY_AFTER.get(done) else {
            return self.settle(Outcome::Dead, now).into();
        };
        let spread = wait.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
        let wished = retry_after.unwrap_or_default().min(Duration::from_hours(24));
        self.due_at = now + spread.max(wished);
        self.into()
    }

    /// The endpoint is gone.
    pub fn disabled(mut self, attempt: Option<Attempt>, now: Timestamp) -> Settled {
        if let Some(attempt) = attempt {
            self.note(attempt);
        }
        self.settle(Outcome::Disabled, now)
    }

    fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        // A redelivered message adds attempts without end; the latest are enough.
        let extra = self.attempts.len().saturating_sub(16);
        self.attempts.drain(..extra);
    }

    fn settle(self, outcome: Outcome, at: Timestamp) -> Settled {
        Settled { payload: self.payload, outcome, at, attempts: self.attempts }
    }
}

impl Settled {
    /// How it ended.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When it ended.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Its owner wants it again: all attempts anew, the same id.
    pub fn redeliver(self, now: Timestamp) -> Pending {
        Pending { payload: self.payload, tries: 0, attempts: self.attempts, due_at: now }
    }
}

impl From<Pending> for Delivery {
    fn from(state: Pending) -> Self {
        Self::Pending(state)
    }
}

impl From<Settled> for Delivery {
    fn from(state: Settled) -> Self {
        Self::Settled(state)
    }
}

#[cfg(test)]
mod tests;
