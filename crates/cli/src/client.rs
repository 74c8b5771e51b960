//! The client of the HTTP API: JSON in, JSON or a [`CliError`] out.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::Instant;

use self::proxy::Route;
pub(crate) use self::proxy::is_loopback;
use crate::{
    error::{CliError, Exit},
    find_server::Address,
    terminal::Terminal,
};

mod files;
mod mcp;
mod proxy;

pub(crate) use files::FILE_MODE;

/// Longer than the longest time for which the server holds a long-poll open.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest silence of an event stream before its connection is closed: three times the interval of the
/// comments that the server sends.
const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// Time for which a request is repeated while the server does not respond: the duration of a restart.
const RETRY_TIME: Duration = Duration::from_secs(10);
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// A server and the token that we use with it.
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
    /// Whether the server has responded before. If not, it is not restarting but was never there.
    connected: AtomicBool,
    /// Whether the server is known to take the bytes of files itself.
    takes_bytes: AtomicBool,
}

/// The body of an error response (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    title: String,
    detail: Option<String>,
    code: String,
    request_id: Option<String>,
    errors: Vec<FieldError>,
}

/// An invalid field of the request: a JSON pointer, or the name of a parameter or header.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldError {
    #[serde(alias = "parameter", alias = "header")]
    pointer: String,
    detail: String,
}

impl Client {
    pub(crate) fn new(address: Address) -> Result<Self, CliError> {
        Self::with_silence(address, Some(STREAM_SILENCE))
    }

    /// A client for uploads, which knows what this one knows: a response comes only after the whole body was sent.
    pub(crate) fn for_uploads(&self) -> Result<Self, CliError> {
        let uploader = Self::with_silence(self.address.clone(), None)?;
        uploader.takes_bytes.store(self.takes_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(uploader)
    }

    fn with_silence(address: Address, silence: Option<Duration>) -> Result<Self, CliError> {
        // An error means that a provider is installed already, which is sufficient.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(redirects())
            .user_agent(concat!("ephemeral/", env!("CARGO_PKG_VERSION")));
        if let Some(silence) = silence {
            builder = builder.read_timeout(silence);
        }
        if address.url.starts_with("http:") {
            // Plain http needs no certificates, and the host may have none.
            builder = builder.tls_certs_only([]);
        }
        let route = proxy::route(&address.url, &Matcher::from_env());
        if route == Route::DirectDespiteProxy {
            Terminal::new(false).message(&format!(
                "warning: not using the proxy of the environment for {}: it would receive the token \
                 unencrypted; use https, or add the host to NO_PROXY",
                address.url
            ));
        }
        if route != Route::Environment {
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|error| CliError::chain("can't prepare HTTP", &error))?;
        let (connected, takes_bytes) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { http, address, connected, takes_bytes })
    }

    /// Sends a GET request; repeats it for a while if the server has stopped responding.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.retry(async || {
            let request = self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT);
            self.json(self.settled(self.send(request).await?).await?).await
        })
        .await
    }

    /// Sends a POST request once.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.request(Method::POST, path).timeout(RESPONSE_TIMEOUT).json(body);
        self.json(self.send(request).await?).await
    }

    /// Sends a POST request that has the same effect if it arrives twice; repeats it for a while if the
    /// server has stopped responding.
    pub(crate) async fn post_idempotent(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Value, CliError> {
        self.retry(async || self.post(path, body).await).await
    }

    /// Sends a POST request that the server executes once for this key; repeats it for a while if the
    /// server has stopped responding.
    pub(crate) async fn post_with_key(
        &self,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<Value, CliError> {
        self.retry(async || {
            let request = self.request(Method::POST, path).header("idempotency-key", key);
            self.json(self.send(request.timeout(RESPONSE_TIMEOUT).json(body)).await?).await
        })
        .await
    }

    /// Repeats a request with backoff while it fails with a transient error.
    async fn retry<T>(
        &self,
        request: impl AsyncFn() -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let mut deadline = None;
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            let result = request().await;
            if !result.as_ref().is_err_and(CliError::is_transient) {
                return result;
            }
            let now = Instant::now();
            if now + delay > *deadline.get_or_insert(now + RETRY_TIME) {
                return result;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }

    /// Opens a stream of server-sent events that starts after the event `last`.
    pub(crate) async fn events(&self, path: &str, last: &str) -> Result<Response, CliError> {
        let request = self
            .request(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream")
            .header("last-event-id", last);
        self.send(request).await
    }

    /// The body of a response that is no JSON.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>, CliError> {
        let request = self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT);
        let response = self.send(request).await?;
        Ok(response.bytes().await.map_err(|error| self.unreachable(error))?.into())
    }

    /// Asks for a code that signs in with our token.
    pub(crate) async fn console_code(&self) -> Result<Value, CliError> {
        let url = format!("{}/console/codes", self.address.url);
        let request = self.http.post(url).bearer_auth(&self.address.token);
        let response = self.send(request.timeout(RESPONSE_TIMEOUT)).await.map_err(|error| {
            if error.exit() != Exit::Gone {
                return error;
            }
            CliError::new(Exit::Gone, format!("the server at {} has no console", self.address.url))
                .hint("`ephemeral up` without --console=false serves it")
        })?;
        self.json(response).await
    }

    /// The URL of the server, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.address.url
    }

    /// A URL of the server, as this program reaches the server. A server that listens on all addresses, or
    /// behind a tunnel, does not know by which one.
    pub(crate) fn reachable(&self, stream_url: &str) -> String {
        let Some((_, rest)) = stream_url.split_once("://") else { return stream_url.to_owned() };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_own = ["0.0.0.0", "127.0.0.1", "[::]", "[::1]", "localhost"]
            .iter()
            .any(|host| authority.strip_prefix(host).is_some_and(|port| port.starts_with(':')));
        if is_own {
            format!("{}{path}", self.address.url.replacen("http", "ws", 1))
        } else {
            stream_url.to_owned()
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/v1{path}", self.address.url))
            .bearer_auth(&self.address.token)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() && response.status() != StatusCode::SEE_OTHER {
            let transient = is_transient(response.status());
            let error = refused(response).await;
            return Err(if transient { self.after_connection(error) } else { error });
        }
        self.connected.store(true, Ordering::Relaxed);
        Ok(response)
    }

    async fn json(&self, response: Response) -> Result<Value, CliError> {
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&body)
            .map_err(|error| CliError::chain("can't parse the response of the server", &error))
    }

    fn unreachable(&self, error: reqwest::Error) -> CliError {
        // A URL may contain secrets, so it is not part of the message.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let message = format!("no response from {}: {cause}", self.address.url);
        let error = CliError::new(Exit::Unreachable, message)
            .hint("check that the server is running; `ephemeral up` starts one");
        self.after_connection(error)
    }

    /// Marks the error as transient if the server has responded before.
    fn after_connection(&self, error: CliError) -> CliError {
        if self.connected.load(Ordering::Relaxed) { error.transient() } else { error }
    }
}

/// Redirections to the bytes of a file are followed by [`Client::download`], which needs their headers.
fn redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| match attempt.status() {
        StatusCode::SEE_OTHER => attempt.stop(),
        _ => redirect::Policy::default().redirect(attempt),
    })
}

/// Deserializes the fields that we print from a response of the API.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::chain("can't parse the response of the server", &error)
            .hint("compare `ephemeral --version` with the version of the server")
    })
}

async fn refused(response: Response) -> CliError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let problem: Problem = response.json().await.unwrap_or_default();
    let exit = match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Auth,
        StatusCode::NOT_FOUND | StatusCode::GONE => Exit::Gone,
        _ => Exit::Other,
    };
    let error = CliError::new(exit, message(status, &problem)).with_code(&problem.code);
    match (status, retry_after) {
        (StatusCode::UNAUTHORIZED, _) => error
            .hint("check EPHEMERAL_TOKEN; the operator creates tokens with `ephemeral token add`"),
        (StatusCode::TOO_MANY_REQUESTS, _) if problem.code.contains("quota") => error.hint(
            "stop a shell (`ephemeral ls` lists them), or wait for a slot with `start --queue`",
        ),
        (_, Some(seconds)) => error.hint(format!("retry in {seconds} s")),
        _ => error,
    }
}

/// Whether this status is that of a server, or of a proxy before it, that may respond later.
const fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn message(status: StatusCode, problem: &Problem) -> String {
    let mut message = match &problem.detail {
        Some(detail) => detail.clone(),
        None if problem.title.is_empty() => format!("the server responded with {status}"),
        None => problem.title.clone(),
    };
    for field in &problem.errors {
        let invalid = match field.pointer.as_str() {
            "" => field.detail.clone(),
            pointer => format!("{pointer}: {}", field.detail),
        };
        // The detail of a request with one invalid field is the error of that field.
        if !message.contains(&invalid) {
            message.push_str(&format!("; {invalid}"));
        }
    }
    if status.is_server_error()
        && let Some(id) = &problem.request_id
    {
        message.push_str(&format!(" (request {id})"));
    }
    message
}

#[cfg(test)]
mod tests;
