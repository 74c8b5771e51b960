//! The HTTP API, as the commands see it: JSON in, JSON or a [`Failure`] out.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    failure::{Exit, Failure},
    find::Address,
};

/// Longest time that the server holds an answer open, and some more.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// A server, and who we are to it.
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
}

/// An error answer (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    title: String,
    detail: Option<String>,
    code: String,
    request_id: Option<String>,
    errors: Vec<Flaw>,
}

/// One thing that is wrong with a request, and where.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Flaw {
    #[serde(alias = "parameter", alias = "header")]
    pointer: String,
    detail: String,
}

impl Client {
    pub(crate) fn new(address: Address) -> Result<Self, Failure> {
        // Err means that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("ephemeral/", env!("CARGO_PKG_VERSION")));
        if address.url.starts_with("http:") {
            // No need to read the host's certificates, nor for the host to have any.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| Failure::chain("can't prepare HTTP", &error))?;
        Ok(Self { http, address })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.request(Method::GET, path).timeout(ANSWER_WITHIN);
        json(self.send(request).await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).timeout(ANSWER_WITHIN).json(body);
        json(self.send(request).await?).await
    }

    /// Server-sent events, from the one after `last` on.
    pub(crate) async fn events(&self, path: &str, last: &str) -> Result<Response, Failure> {
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

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
    }

    fn unreached(&self, error: reqwest::Error) -> Failure {
        // A URL may carry what is nobody's business.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::new(Exit::Unreachable, format!("no answer from {}: {cause}", self.address.url))
            .hint("is the server up? `ephemeral up` starts one")
    }
}

/// Reads a value of the API into the fields that we show.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        Failure::chain("the server's answer is not understood", &error)
            .hint("does `ephemeral --version` fit the server's?")
    })
}

async fn json(answer: Response) -> Result<Value, Failure> {
    answer.json().await.map_err(|error| {
        Failure::chain("the server's answer is not understood", &error.without_url())
    })
}

async fn refused(answer: Response) -> Failure {
    let status = answer.status();
    let after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let problem: Problem = answer.json().await.unwrap_or_default();
    let exit = match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Auth,
        StatusCode::NOT_FOUND | StatusCode::GONE => Exit::Gone,
        _ => Exit::Other,
    };
    let failure = Failure::new(exit, words(status, &problem));
    match (status, after) {
        (StatusCode::UNAUTHORIZED, _) => {
            failure.hint("check EPHEMERAL_TOKEN; the operator makes one with `ephemeral token add`")
        }
        (StatusCode::TOO_MANY_REQUESTS, _) if problem.code.contains("quota") => {
            failure.hint("stop a shell (`ephemeral ls`), or wait in line with `start --queue`")
        }
        (_, Some(seconds)) => failure.hint(format!("try again in {seconds} s")),
        _ => failure,
    }
}

fn words(status: StatusCode, problem: &Problem) -> String {
    let mut words = match &problem.detail {
        Some(detail) => detail.clone(),
        None if problem.title.is_empty() => format!("the server answered {status}"),
        None => problem.title.clone(),
    };
    for flaw in &problem.errors {
        words.push_str(&format!("; {}: {}", flaw.pointer, flaw.detail));
    }
    if status.is_server_error()
        && let Some(id) = &problem.request_id
    {
        words.push_str(&format!(" (request {id})"));
    }
    words
}
