//! The HTTP API as the tools use it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE, RANGE},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use uuid::Uuid;

use crate::error::ToolError;

/// Sends requests to the HTTP API in the name of one user.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// Sends a request, whose URI is a path that begins with `/v1`, and returns the response whatever its
    /// status. Each request may be sent again: it has an idempotency key, or is one that reads or that
    /// replaces a file.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, UnreachableError>;
}

/// No response came. The message says what the user can do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreachableError(pub String);

/// Builds requests and reads their responses.
#[derive(Clone)]
pub(crate) struct Requests(Arc<dyn Api>);

/// A part of a file.
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    /// Of the whole file. Bytes.
    pub(crate) size: u64,
}

impl Requests {
    pub(crate) fn new(api: Arc<dyn Api>) -> Self {
        Self(api)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ToolError> {
        json(&self.send(Method::GET, path, HeaderMap::new(), Bytes::new()).await?)
    }

    /// Sends a request with an idempotency key of its own, so that the server acts once however often the
    /// request is sent.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ToolError> {
        let mut headers = HeaderMap::new();
        let key = Uuid::new_v4().to_string();
        headers.insert("idempotency-key", key.parse().map_err(|_| ToolError::malformed())?);
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        json(&self.send(Method::POST, path, headers, body.to_string().into()).await?)
    }

    pub(crate) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<Value, ToolError> {
        json(&self.send(Method::PUT, path, HeaderMap::new(), bytes.into()).await?)
    }

    /// The bytes of a file from `offset` on, at most `limit`.
    pub(crate) async fn part(
        &self,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<Part, ToolError> {
        let mut headers = HeaderMap::new();
        let range = format!("bytes={offset}-{}", offset.saturating_add(limit - 1));
        headers.insert(RANGE, range.parse().map_err(|_| ToolError::malformed())?);
        let response = self.exchange(Method::GET, path, headers, Bytes::new()).await?;
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let size = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        // Nothing can be a range of an empty file.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && size == Some(0) {
            return Ok(Part { bytes: Bytes::new(), size: 0 });
        }
        let response = successful(response)?;
        let bytes = response.into_body();
        Ok(Part { size: size.unwrap_or(bytes.len() as u64), bytes })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, ToolError> {
        let response = self.exchange(method, path, headers, body).await?;
        Ok(successful(response)?.into_body())
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, ToolError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = format!("/v1{path}").parse().map_err(|_| ToolError::malformed())?;
        *request.headers_mut() = headers;
        self.0.send(request).await.map_err(|error| ToolError::unreachable(&error))
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").finish_non_exhaustive()
    }
}

/// Text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn successful(response: Response<Bytes>) -> Result<Response<Bytes>, ToolError> {
    if response.status().is_success() { Ok(response) } else { Err(ToolError::refused(&response)) }
}

fn json(body: &Bytes) -> Result<Value, ToolError> {
    serde_json::from_slice(body).map_err(|_| ToolError::malformed())
}
