//! The client of the HTTP API: JSON in, JSON or a [`CliError`] out.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    error::{CliError, Exit},
    find_server::Address,
};

/// Longer than the longest time for which the server holds a long-poll open.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);

/// A server and the token that we use with it.
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
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
        // An error means that a provider is installed already, which is sufficient.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("ephemeral/", env!("CARGO_PKG_VERSION")));
        if address.url.starts_with("http:") {
            // Plain http needs no certificates, and the host may have none.
            builder = builder.tls_certs_only([]);
        }
        let http =
            builder.build().map_err(|error| CliError::chain("can't prepare HTTP", &error))?;
        Ok(Self { http, address })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        let request = self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT);
        json(self.send(request).await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.request(Method::POST, path).timeout(RESPONSE_TIMEOUT).json(body);
        json(self.send(request).await?).await
    }

    /// Opens a stream of server-sent events that starts after the event `last`.
    pub(crate) async fn events(&self, path: &str, last: &str) -> Result<Response, CliError> {
        let request = self
            .request(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream")
            .header("last-event-id", last);
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/v1{path}", self.address.url))
            .bearer_auth(&self.address.token)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn unreachable(&self, error: reqwest::Error) -> CliError {
        // A URL may contain secrets, so it is not part of the message.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        CliError::new(Exit::Unreachable, format!("no response from {}: {cause}", self.address.url))
            .hint("check that the server is running; `ephemeral up` starts one")
    }
}

/// Deserializes the fields that we print from a response of the API.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::chain("can't parse the response of the server", &error)
            .hint("compare `ephemeral --version` with the version of the server")
    })
}

async fn json(response: Response) -> Result<Value, CliError> {
    response.json().await.map_err(|error| {
        CliError::chain("can't parse the response of the server", &error.without_url())
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
    let error = CliError::new(exit, message(status, &problem));
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

fn message(status: StatusCode, problem: &Problem) -> String {
    let mut message = match &problem.detail {
        Some(detail) => detail.clone(),
        None if problem.title.is_empty() => format!("the server responded with {status}"),
        None => problem.title.clone(),
    };
    for field in &problem.errors {
        message.push_str(&format!("; {}: {}", field.pointer, field.detail));
    }
    if status.is_server_error()
        && let Some(id) = &problem.request_id
    {
        message.push_str(&format!(" (request {id})"));
    }
    message
}
