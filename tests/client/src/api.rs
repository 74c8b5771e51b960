//! One request to the HTTP API, and its response.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// Longer than the longest long-poll.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A server, and the user in whose name requests are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The URL of the API; it ends in `/v1`.
    pub base: String,
    /// The user's bearer token; requests without a token are anonymous.
    pub token: Option<String>,
}

/// Builds requests to the API.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
}

impl Client {
    /// A client for servers on this machine.
    ///
    /// # Errors
    /// If the HTTP client can't be built.
    pub fn new() -> Result<Self> {
        Ok(Self { http: http_client()? })
    }

    /// A `GET` of a path below `/v1`.
    pub fn get(&self, server: &Server, path: &str) -> RequestBuilder {
        authorized(self.http.get(format!("{}{path}", server.base)), server)
    }

    /// A request without a body to a path below `/v1`.
    pub fn request(&self, method: Method, server: &Server, path: &str) -> RequestBuilder {
        authorized(self.http.request(method, format!("{}{path}", server.base)), server)
    }

    /// A `POST` of JSON to a path below `/v1`.
    pub fn post(&self, server: &Server, path: &str, body: &Value) -> RequestBuilder {
        authorized(self.http.post(format!("{}{path}", server.base)).json(body), server)
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null if it is not JSON.
    pub body: Value,
}

impl Response {
    /// Sends the request and reads the whole response.
    ///
    /// # Errors
    /// If no complete response arrives.
    pub async fn to(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = serde_json::from_str(&response.text().await?).unwrap_or(Value::Null);
        Ok(Self { status, headers, body })
    }

    /// The text of a header; empty if the header is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the server replayed the response to an earlier request with the same idempotency key.
    pub fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    /// The response itself if it has this status.
    ///
    /// # Errors
    /// If the status is another one.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        Ok(self)
    }

    /// The body if it is a problem (RFC 9457) of this status and code.
    ///
    /// # Errors
    /// If the response is anything else.
    pub fn problem(self, status: u16, code: &str) -> Result<Value> {
        let response = self.expect(status)?;
        let kind = response.header("content-type");
        ensure!(kind.starts_with("application/problem+json"), "a problem of type {kind}");
        ensure!(response.body["code"] == code, "{} instead of {code}", response.body["code"]);
        Ok(response.body)
    }
}

/// An HTTP client for plain http to this machine, without proxies.
///
/// # Errors
/// If the client can't be built.
pub fn http_client() -> Result<reqwest::Client> {
    // reqwest needs a TLS provider even for plain http. Err means that the process has one already.
    let _known = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(RESPONSE_TIMEOUT).no_proxy();
    Ok(http.tls_certs_only([]).build()?)
}

/// A string field of a JSON object.
///
/// # Errors
/// If the field is missing or not a string.
pub fn text(body: &Value, field: &str) -> Result<String> {
    let value = body[field].as_str().with_context(|| format!("no {field} in {body}"))?;
    Ok(value.to_owned())
}

fn authorized(request: RequestBuilder, server: &Server) -> RequestBuilder {
    match &server.token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}
