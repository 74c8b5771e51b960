//! The HTTP API as a patient client sees it: every request is sent again, with its key, until it
//! has an answer.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use crate::server::Address;

/// Longer than the longest poll.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
const AGAIN: Duration = Duration::from_millis(20);

/// An answer that is no "try again".
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

/// One user's view of the server, wherever that is now.
#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    address: watch::Receiver<Option<Address>>,
    pub(crate) requests: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) replayed: AtomicU64,
}

impl Api {
    pub(crate) fn new(address: watch::Receiver<Option<Address>>) -> Result<Self> {
        // Built with others who speak TLS, the client wants a provider for it even if it speaks none.
        // Err means that the process has one already.
        let _known = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN);
        let http = http.tls_certs_only([]).build()?;
        let zero = AtomicU64::default;
        Ok(Self { http, address, requests: zero(), repeated: zero(), replayed: zero() })
    }

    /// Posts until there is an answer.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.answer(|address| {
            let request = self.http.post(format!("{}{path}", address.url));
            request.header("idempotency-key", key).json(body)
        })
        .await
    }

    /// Reads until there is an answer.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.answer(|address| self.http.get(format!("{}{path}", address.url))).await
    }

    /// All entries of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut next = format!("{path}{glue}limit=100");
        loop {
            let answer = self.get(&next).await;
            let data = answer.body["data"].as_array();
            let data = data.with_context(|| format!("{path} is no list: {}", answer.status))?;
            all.extend(data.iter().cloned());
            let body = &answer.body;
            next = match (body["nextCursor"].as_str(), body["nextAfter"].as_u64()) {
                (Some(cursor), _) => format!("{path}{glue}limit=100&cursor={cursor}"),
                (None, Some(after)) if !data.is_empty() => {
                    format!("{path}{glue}limit=100&after={after}")
                }
                _ => return Ok(all),
            };
        }
    }

    async fn answer(&self, request: impl Fn(&Address) -> reqwest::RequestBuilder) -> Answer {
        let mut address = self.address.clone();
        self.requests.fetch_add(1, Relaxed);
        loop {
            // The sender lives as long as the run.
            let now = address.wait_for(Option::is_some).await.ok().and_then(|now| now.clone());
            if let Some(now) = now
                && let Some(answer) = self.once(request(&now).bearer_auth(&now.token)).await
            {
                return answer;
            }
            self.repeated.fetch_add(1, Relaxed);
            sleep(AGAIN).await;
        }
    }

    /// None: no whole answer came, or one that asks to come again.
    async fn once(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let text = answer.text().await.ok()?;
        if status == 503 {
            return None;
        }
        if replayed {
            self.replayed.fetch_add(1, Relaxed);
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Answer { status, replayed, body })
    }
}
