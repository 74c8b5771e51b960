//! An endpoint of the operator, which gets each event as a signed webhook.

use std::{fmt, sync::Arc, time::Duration};

use adapters::webhooks::HttpWebhooks;
use async_trait::async_trait;
use domain::{
    Secret, UserId,
    ports::{Clock, PostError, SignedPost, Webhooks},
};

use super::{DeliverError, Destination, event::PublishedEvent};

/// How long the endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An endpoint. The operator of the server names it, so it may have any address.
pub(crate) struct Endpoint {
    url: Secret<String>,
    secret: Secret<String>,
    webhooks: HttpWebhooks,
    clock: Arc<dyn Clock>,
}

impl Endpoint {
    pub(super) fn new(url: Secret<String>, secret: Secret<String>, clock: Arc<dyn Clock>) -> Self {
        Self { url, secret, webhooks: HttpWebhooks::new(true), clock }
    }

    async fn post(&self, event: &PublishedEvent) -> Result<(), DeliverError> {
        let id = event.event.id.to_string();
        let timestamp = self.clock.now().millis() / 1000;
        let body = event.json().to_string();
        let signature = handlers::sign_webhook(&self.secret, &id, timestamp, &body)
            .map_err(|error| DeliverError::new("the key is not valid", Some(Box::new(error))))?;
        let request = SignedPost {
            url: self.url.clone(),
            id,
            timestamp,
            signature,
            body: Secret::new(body),
            user: UserId::new("operator"),
            timeout: TIMEOUT,
        };
        match self.webhooks.post(&request).await {
            Ok(posted) if (200..300).contains(&posted.status) => Ok(()),
            Ok(posted) => {
                let what = format!("the endpoint answered with the status {}", posted.status);
                Err(DeliverError::new(what, None))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

#[async_trait]
impl Destination for Endpoint {
    fn name(&self) -> &'static str {
        "events endpoint"
    }

    async fn deliver(&mut self, events: &[PublishedEvent]) -> (usize, Result<(), DeliverError>) {
        for (arrived, event) in events.iter().enumerate() {
            if let Err(error) = self.post(event).await {
                return (arrived, Err(error));
            }
        }
        (events.len(), Ok(()))
    }
}

/// Any address is allowed here, so the message need not hide which ones exist.
fn failed(error: PostError) -> DeliverError {
    let what = match &error {
        PostError::Forbidden => "the URL of the endpoint is not valid",
        PostError::Failed => "the endpoint can't be reached",
        PostError::TimedOut => "the endpoint did not answer in time",
        PostError::Resting(_) => "the endpoint rests after repeated timeouts",
    };
    DeliverError::new(what, None)
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}
