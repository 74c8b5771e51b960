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

/// An endpoint on this machine that takes every call.
#[derive(Debug)]
pub(crate) struct Sink {
    calls: Arc<Mutex<Vec<Call>>>,
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn open() -> Result<Self> {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&calls));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // It ends with this process.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { calls, url, serving })
    }

    /// The calls of this type.
    pub(crate) fn calls(&self, kind: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.event()["type"] == kind).cloned().collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(calls): State<Arc<Mutex<Vec<Call>>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
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
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    StatusCode::NO_CONTENT
}
