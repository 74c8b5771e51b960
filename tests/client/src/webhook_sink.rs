//! A receiver of webhooks that records every call and refuses some.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, task::JoinHandle};

/// How old a signature may be when its call arrives, in seconds; Standard Webhooks recommends it.
const MAX_AGE_SECONDS: u64 = 5 * 60;

/// A call, as it arrived.
#[derive(Debug, Clone)]
pub struct WebhookCall {
    /// The header `webhook-id`.
    pub id: String,
    /// The body.
    pub body: Bytes,
    /// Whether the sink accepted the call; the others got 503.
    pub accepted: bool,
    timestamp: i64,
    signature: String,
    /// Whether the timestamp was near the time of arrival.
    timely: bool,
}

impl WebhookCall {
    /// The event in the body; null if the body is not JSON.
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the call is signed with this secret, by the rules of Standard Webhooks.
    pub fn is_signed(&self, secret: &str) -> bool {
        let expected =
            Webhook::new(secret).and_then(|key| key.sign(&self.id, self.timestamp, &self.body));
        let mut given = self.signature.split(' ');
        secret.starts_with("whsec_")
            && self.timely
            && expected.is_ok_and(|expected| given.any(|given| given == expected))
    }
}

/// Decides which calls are refused: its arguments are the new call and all earlier ones.
type Refuse = Box<dyn FnMut(&WebhookCall, &[WebhookCall]) -> bool + Send>;

struct Calls {
    all: Vec<WebhookCall>,
    refuse: Refuse,
}

/// An endpoint on this machine that lives in the process of the test.
pub struct WebhookSink {
    calls: Arc<Mutex<Calls>>,
    url: String,
    server: JoinHandle<()>,
}

impl WebhookSink {
    /// An endpoint that accepts every call.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn open() -> Result<Self> {
        Self::refusing(|_, _| false).await
    }

    /// An endpoint that answers 503 to the calls for which `refuse` is true.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn refusing(
        refuse: impl FnMut(&WebhookCall, &[WebhookCall]) -> bool + Send + 'static,
    ) -> Result<Self> {
        let calls = Calls { all: Vec::new(), refuse: Box::new(refuse) };
        let calls = Arc::new(Mutex::new(calls));
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&calls));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // The server is aborted when the sink is dropped.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { calls, url, server })
    }

    /// The URL to register as a webhook.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All calls in order of arrival, refused ones included.
    pub fn calls(&self) -> Vec<WebhookCall> {
        self.calls.lock().all.clone()
    }

    /// The calls with an event of this type.
    pub fn calls_of(&self, event_type: &str) -> Vec<WebhookCall> {
        let mut calls = self.calls();
        calls.retain(|call| call.event()["type"] == event_type);
        calls
    }
}

impl Drop for WebhookSink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for WebhookSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSink").field("url", &self.url).finish_non_exhaustive()
    }
}

async fn take(
    State(calls): State<Arc<Mutex<Calls>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("webhook-timestamp").parse().unwrap_or(0);
    let mut call = WebhookCall {
        id: header("webhook-id").to_owned(),
        body,
        accepted: true,
        timestamp,
        signature: header("webhook-signature").to_owned(),
        timely: is_timely(timestamp),
    };
    let mut calls = calls.lock();
    let Calls { all, refuse } = &mut *calls;
    call.accepted = !refuse(&call, all);
    let status =
        if call.accepted { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE };
    all.push(call);
    status
}

fn is_timely(timestamp: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    now.abs_diff(timestamp.unsigned_abs()) <= MAX_AGE_SECONDS
}

#[cfg(test)]
mod tests;
