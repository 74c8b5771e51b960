//! The client that posts webhooks to users' endpoints.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Secret, UserId};

/// A signed webhook request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPost {
    /// The URL of the endpoint.
    pub url: Secret<String>,
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`: seconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: Secret<String>,
    /// The JSON body.
    pub body: Secret<String>,
    /// The owner of the endpoint.
    pub user: UserId,
    /// How long to wait for the response, the connection included.
    pub timeout: Duration,
}

/// The response of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status; redirects are not followed.
    pub status: u16,
    /// The header `Retry-After`: seconds, or the time until a date.
    pub retry_after: Option<Duration>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The URL is invalid, is not https, or leads to an address that is not public. The message is that
    /// of a failed connection: it must not tell which names of an inside network exist.
    #[error("connection failed, or the address is not public")]
    Forbidden,
    /// No connection or no response in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection failed.
    #[error("connection failed, or the address is not public")]
    Failed,
    /// Nothing was sent: the endpoint did not answer in time again and again, and rests so long.
    #[error("the endpoint rests after repeated timeouts")]
    Resting(Duration),
}

/// Posts to users' endpoints: no redirects, public addresses only.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Sends the request once.
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError>;
}
