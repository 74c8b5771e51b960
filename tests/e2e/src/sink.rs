//! Where webhooks go.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};

/// One call, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: String,
    timestamp: String,
    signature: String,
    body: Bytes,
}

impl Call {
    /// What it tells.
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it was signed with this secret, as Standard Webhooks has it.
    pub(crate) fn is_signed(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").and_then(|key| BASE64_STANDARD.decode(key).ok());
        let Some(mut mac) = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok()) else {
            return false;
        };
        mac.update(format!("{}.{}.", self.id, self.timestamp).as_bytes());
        mac.update(&self.body);
        let given = self.signature.strip_prefix("v1,");
        let given = given.and_then(|given| BASE64_STANDARD.decode(given).ok());
        given.is_some_and(|given| mac.verify_slice(&given).is_ok())
    }
}

/// What the endpoint knows.
#[derive(Debug, Default)]
struct Kept {
    calls: Vec<Call>,
    /// How many of the next calls are refused.
    refusals: u32,
}

/// An endpoint on this machine.
#[derive(Debug)]
pub(crate) struct Sink {
    kept: Arc<Mutex<Kept>>,
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Sink {
    /// One that takes every call.
    pub(crate) async fn open() -> Result<Self> {
        Self::refusing(0).await
    }

    /// One that fails so many times first.
    pub(crate) async fn refusing(refusals: u32) -> Result<Self> {
        let kept = Arc::new(Mutex::new(Kept { calls: Vec::new(), refusals }));
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&kept));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // It ends with this process.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { kept, url, serving })
    }

    /// The calls of this type, those that were refused among them.
    pub(crate) fn calls(&self, kind: &str) -> Vec<Call> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.calls.iter().filter(|call| call.event()["type"] == kind).cloned().collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let call = Call {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body,
    };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.calls.push(call);
    if kept.refusals > 0 {
        kept.refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::NO_CONTENT
}
