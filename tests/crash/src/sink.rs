//! Where the webhooks go: an endpoint that remembers everything and now and then refuses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
use testkit::Dice;
use tokio::{net::TcpListener, task::JoinHandle};

/// How many of 100 first calls are refused.
const REFUSED: usize = 20;

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) taken: bool,
    pub(crate) body: Bytes,
    timestamp: String,
    signature: String,
}

impl Call {
    /// What it is about.
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it was signed with this key, as Standard Webhooks has it.
    pub(crate) fn is_signed(&self, id: &str, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").and_then(|key| BASE64_STANDARD.decode(key).ok());
        let mac = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok());
        let Some(mut mac) = mac else { return false };
        mac.update(format!("{id}.{}.", self.timestamp).as_bytes());
        mac.update(&self.body);
        let given = self.signature.strip_prefix("v1,");
        let given = given.and_then(|given| BASE64_STANDARD.decode(given).ok());
        given.is_some_and(|given| mac.verify_slice(&given).is_ok())
    }
}

#[derive(Debug)]
struct Kept {
    calls: BTreeMap<String, Vec<Call>>,
    dice: Dice,
}

/// The endpoint. It lives in this process, so kills do not touch it.
#[derive(Debug)]
pub(crate) struct Sink {
    kept: Arc<Mutex<Kept>>,
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn open(seed: u64) -> Result<Self> {
        let kept = Kept { calls: BTreeMap::new(), dice: Dice::new(seed) };
        let kept = Arc::new(Mutex::new(kept));
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&kept));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // It ends with this process.
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { kept, url, serving })
    }

    /// All calls by `webhook-id`.
    pub(crate) fn calls(&self) -> BTreeMap<String, Vec<Call>> {
        kept(&self.kept).calls.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(sink): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut sink = kept(&sink);
    let first = !sink.calls.contains_key(&header("webhook-id"));
    let taken = !first || !sink.dice.chance(REFUSED);
    let call = Call {
        taken,
        body,
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    sink.calls.entry(header("webhook-id")).or_default().push(call);
    if taken { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}

fn kept(sink: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}
