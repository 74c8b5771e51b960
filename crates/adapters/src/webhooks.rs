//! Posts webhooks to users' endpoints.

use std::{
    error::Error,
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use domain::ports::{PostError, Posted, SignedPost, Webhooks};
use reqwest::{Client, Url, header, redirect};

mod address;
mod resolve;
mod rest;

use resolve::{ForbiddenAddressError, PublicResolver};
use rest::Rests;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts over https to public addresses only, unless private ones are allowed.
#[derive(Debug)]
pub struct HttpWebhooks {
    allow_private: bool,
    /// Created by the first post: most servers never send a webhook, and the root certificates take
    /// memory.
    client: LazyLock<Option<Client>, Box<dyn FnOnce() -> Option<Client> + Send>>,
    rests: Rests,
}

impl HttpWebhooks {
    /// A client. `allow_private` also allows http and private addresses, for tests and private networks.
    pub fn new(allow_private: bool) -> Self {
        Self::with(allow_private, PublicResolver::default())
    }

    fn with(allow_private: bool, resolver: PublicResolver) -> Self {
        let client = LazyLock::new(Box::new(move || client(allow_private, resolver)) as Box<_>);
        Self { allow_private, client, rests: Rests::default() }
    }

    fn is_allowed(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => self.allow_private || !address::is_private_literal(url),
            "http" => self.allow_private,
            _ => false,
        }
    }
}

#[async_trait]
impl Webhooks for HttpWebhooks {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        let url: Url = post.url.expose().parse().map_err(|_| PostError::Forbidden)?;
        if !self.is_allowed(&url) {
            return Err(PostError::Forbidden);
        }
        let client = self.client.as_ref().ok_or(PostError::Failed)?;
        let endpoint = rest::endpoint(&post.user, &url);
        if let Some(rest) = self.rests.left(&endpoint, Instant::now()) {
            return Err(PostError::Resting(rest));
        }
        let sent = client
            .post(url)
            .timeout(post.timeout)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &post.id)
            .header("webhook-timestamp", post.timestamp)
            .header("webhook-signature", post.signature.expose())
            .body(post.body.expose().clone())
            .send()
            .await;
        // The body of the response is never read: it may be endless, and only the status matters.
        let answer = sent.map_err(|error| post_error(&error));
        let timed_out = matches!(answer, Err(PostError::TimedOut));
        self.rests.record(endpoint, timed_out, Instant::now());
        let answer = answer?;
        Ok(Posted { status: answer.status().as_u16(), retry_after: retry_after(answer.headers()) })
    }
}

fn client(allow_private: bool, resolver: PublicResolver) -> Option<Client> {
    // An error means that the process has a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("ephemeral/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT);
    if !allow_private {
        builder = builder.https_only(true).dns_resolver(resolver);
    }
    builder
        .build()
        .inspect_err(|error| tracing::error!(%error, "failed to create the TLS client; no webhook can be sent"))
        .ok()
}

fn post_error(error: &reqwest::Error) -> PostError {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<ForbiddenAddressError>() {
            return PostError::Forbidden;
        }
        cause = source.source();
    }
    if error.is_timeout() { PostError::TimedOut } else { PostError::Failed }
}

/// The value of `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which counts from the response's own
/// date, so that the endpoint's clock does not matter.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let given = text(header::RETRY_AFTER)?;
    if !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(given.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(given).ok()?;
    let now = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    // A date in the past asks for no delay.
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
