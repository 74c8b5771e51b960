//! The way out to users' endpoints.

use std::{error::Error, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use domain::ports::{PostError, Posted, SignedPost, Webhooks};
use reqwest::{Client, Url, header, redirect};

mod address;
mod resolve;

use resolve::{Forbidden, Public};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Posts over https to public addresses only, unless told otherwise.
#[derive(Debug)]
pub struct HttpWebhooks {
    allow_private: bool,
    /// Made by the first post: most servers never send one, and the roots of trust are large.
    client: LazyLock<Option<Client>, Box<dyn FnOnce() -> Option<Client> + Send>>,
}

impl HttpWebhooks {
    /// `allow_private` also permits http and inside addresses.
    pub fn new(allow_private: bool) -> Self {
        Self::with(allow_private, Public::default())
    }

    fn with(allow_private: bool, names: Public) -> Self {
        let client = LazyLock::new(Box::new(move || client(allow_private, names)) as Box<_>);
        Self { allow_private, client }
    }

    fn may_call(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => self.allow_private || !address::is_inside_literal(url),
            "http" => self.allow_private,
            _ => false,
        }
    }
}

#[async_trait]
impl Webhooks for HttpWebhooks {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        let url: Url = post.url.expose().parse().map_err(|_| PostError::Forbidden)?;
        if !self.may_call(&url) {
            return Err(PostError::Forbidden);
        }
        let client = self.client.as_ref().ok_or(PostError::Failed)?;
        let sent = client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &post.id)
            .header("webhook-timestamp", post.timestamp)
            .header("webhook-signature", post.signature.expose())
            .body(post.body.expose().clone())
            .send()
            .await;
        // The answer's body is never read: its status says all, and it may be endless.
        let answer = sent.map_err(|error| why(&error))?;
        Ok(Posted { status: answer.status().as_u16(), retry_after: retry_after(answer.headers()) })
    }
}

fn client(allow_private: bool, names: Public) -> Option<Client> {
    // Err means that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("ephemeral/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    if !allow_private {
        builder = builder.https_only(true).dns_resolver(names);
    }
    builder
        .build()
        .inspect_err(|error| tracing::error!(%error, "webhooks can't be sent: no TLS client"))
        .ok()
}

fn why(error: &reqwest::Error) -> PostError {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<Forbidden>() {
            return PostError::Forbidden;
        }
        cause = source.source();
    }
    if error.is_timeout() { PostError::TimedOut } else { PostError::Failed }
}

/// `Retry-After` in its form in seconds; a date is left to our own schedule.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
