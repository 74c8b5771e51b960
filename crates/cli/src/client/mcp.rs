//! The API as the tools of MCP use it.

use ::mcp::{Api, UnreachableError};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header::RANGE};
use tokio::time::{Instant, sleep};

use super::{
    Client, FIRST_RETRY_DELAY, MAX_RETRY_DELAY, RESPONSE_TIMEOUT, RETRY_TIME, files::result_of,
    refused,
};
use crate::error::CliError;

/// The code of the refusal of a server that does not take the bytes itself.
const UPLOAD_REQUIRED: &[u8] = b"\"upload_required\"";

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
    /// Sends a request once, and waits for the result of one for files. A refusal is a response, unless it says
    /// that no server was reached.
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, CliError> {
        let (head, body) = request.into_parts();
        let range = head.headers.get(RANGE).cloned();
        let (uri, path) = (head.uri.to_string(), head.uri.path().to_owned());
        let is_of_files = path.contains("/files");
        let is_write = head.method == Method::PUT && path.ends_with("/files");
        let mut response = self.sent(head, body.clone()).await?;
        if is_write && response.status() == StatusCode::CONFLICT {
            let refusal = self.whole(response).await?;
            if !refusal.body().windows(UPLOAD_REQUIRED.len()).any(|part| part == UPLOAD_REQUIRED) {
                return Ok(refusal);
            }
            let uploads = format!("{}/uploads", path.trim_start_matches("/v1"));
            let upload = self.put_upload(&uploads, body).await?;
            let mut request = http::Request::new(Bytes::new());
            *request.method_mut() = Method::PUT;
            *request.uri_mut() = format!("{uri}&upload={upload}").parse().map_err(malformed)?;
            response = self.sent(request.into_parts().0, Bytes::new()).await?;
        }
        while let Some(result) = result_of(&response).filter(|_| is_of_files) {
            let mut request = http::Request::new(Bytes::new());
            *request.uri_mut() = result.parse().map_err(malformed)?;
            response = self.sent(request.into_parts().0, Bytes::new()).await?;
        }
        let located = self.located(response, |request| match range {
            Some(range) => request.header(RANGE, range),
            None => request,
        });
        self.whole(located.await?).await
    }

    async fn sent(&self, head: http::request::Parts, body: Bytes) -> Result<Response, CliError> {
        let url = format!("{}{}", self.address.url, head.uri);
        let request = self.http.request(head.method, url).headers(head.headers).body(body);
        let request = request.bearer_auth(&self.address.token).timeout(RESPONSE_TIMEOUT);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let unreached =
            [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if unreached.contains(&response.status()) {
            return Err(refused(response).await.transient());
        }
        Ok(response)
    }

    async fn whole(&self, response: Response) -> Result<http::Response<Bytes>, CliError> {
        let mut answer = http::Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Ok(answer)
    }
}

fn malformed(error: http::uri::InvalidUri) -> CliError {
    CliError::chain("the server has named no URL", &error)
}
