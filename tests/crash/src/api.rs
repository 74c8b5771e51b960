//! The HTTP API as a client uses it that repeats each request, with its idempotency key, until a server
//! responds.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use client::{Client, Response, Server};
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

const RETRY_DELAY: Duration = Duration::from_millis(20);

/// One user of the server, which changes its address with each start.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    server: watch::Receiver<Option<Server>>,
    pub(crate) requests: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) replayed: AtomicU64,
}

impl Api {
    pub(crate) fn new(server: watch::Receiver<Option<Server>>) -> Result<Self> {
        let zero = AtomicU64::default;
        let (requests, repeated, replayed) = (zero(), zero(), zero());
        Ok(Self { client: Client::new()?, server, requests, repeated, replayed })
    }

    /// Posts until there is a response other than 503.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Response {
        self.repeat(|server| self.client.post(server, path, body).header("idempotency-key", key))
            .await
    }

    /// Reads until there is a response other than 503.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.repeat(|server| self.client.get(server, path)).await
    }

    /// All entries of a list, from all pages.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit=100");
        let mut next = first.clone();
        loop {
            let response = self.get(&next).await;
            let data = response.body["data"].as_array();
            let data = data.with_context(|| format!("{path} is no list: {}", response.status))?;
            all.extend(data.iter().cloned());
            let body = &response.body;
            next = match (body["nextCursor"].as_str(), body["nextAfter"].as_u64()) {
                (Some(cursor), _) => format!("{first}&cursor={cursor}"),
                (None, Some(after)) if !data.is_empty() => format!("{first}&after={after}"),
                _ => return Ok(all),
            };
        }
    }

    async fn repeat(&self, request: impl Fn(&Server) -> RequestBuilder) -> Response {
        let mut server = self.server.clone();
        self.requests.fetch_add(1, Relaxed);
        loop {
            // The sender lives as long as the run, so this wait ends with a server.
            let current = server.wait_for(Option::is_some).await.ok().and_then(|now| now.clone());
            if let Some(current) = current
                && let Ok(response) = Response::to(request(&current)).await
                && response.status != 503
            {
                self.replayed.fetch_add(u64::from(response.is_replayed()), Relaxed);
                return response;
            }
            self.repeated.fetch_add(1, Relaxed);
            sleep(RETRY_DELAY).await;
        }
    }
}
