//! The API as the tools of MCP use it.

use ::mcp::{Api, UnreachableError};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

use super::{Client, FIRST_RETRY_DELAY, MAX_RETRY_DELAY, RESPONSE_TIMEOUT, RETRY_TIME, refused};
use crate::error::CliError;

#[async_trait]
impl Api for Client {
    /// Repeats the request for a while if the server does not respond, as it may be restarting.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, UnreachableError> {
        let deadline = Instant::now() + RETRY_TIME;
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            let error = match self.exchange(request.clone()).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !error.is_transient() || Instant::now() + delay > deadline {
                return Err(UnreachableError(error.message().to_owned()));
            }
            sleep(delay).await;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }
}

impl Client {
    /// Sends a request once. A refusal is a response, unless it says that no server was reached.
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, CliError> {
        let (head, body) = request.into_parts();
        let url = format!("{}{}", self.address.url, head.uri);
        let request = self.http.request(head.method, url).headers(head.headers).body(body);
        let request = request.bearer_auth(&self.address.token).timeout(RESPONSE_TIMEOUT);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let unreached =
            [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if unreached.contains(&response.status()) {
            return Err(refused(response).await.transient());
        }
        let mut answer = http::Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Ok(answer)
    }
}
