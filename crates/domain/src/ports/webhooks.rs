//! The way out to users' endpoints.

use std::time::Duration;

use async_trait::async_trait;

use crate::Secret;

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPost {
    /// Where to.
    pub url: Secret<String>,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`.
    pub signature: Secret<String>,
    /// The JSON.
    pub body: Secret<String>,
}

/// An answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status; redirects are not followed.
    pub status: u16,
    /// `Retry-After`, if it was given.
    pub retry_after: Option<Duration>,
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The address is not one that may be called: not https, private, or no address at all.
    #[error("forbidden address")]
    Forbidden,
    /// No connection or no answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection failed.
    #[error("connection failed")]
    Failed,
}

/// Posts to the outside: 5 s to connect, 10 s in all, no redirects, no inside addresses.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Sends once.
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError>;
}
