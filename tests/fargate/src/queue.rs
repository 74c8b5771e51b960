//! SendMessage to an SQS queue of an emulator: JSON 1.0 over plain HTTP, unsigned.

use axum::http::{Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    client: Client<HttpConnector, Full<axum::body::Bytes>>,
    endpoint: Uri,
    url: String,
}

impl Queue {
    /// The default endpoint is the origin of the queue's URL.
    pub(crate) fn new(url: String, endpoint: Option<&str>) -> Result<Self, BoxError> {
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.parse::<Uri>()?,
            None => {
                let queue = url.parse::<Uri>()?;
                let authority = queue.authority().ok_or("the queue's URL has no host")?;
                format!("http://{authority}/").parse()?
            }
        };
        Ok(Self { client: Client::builder(TokioExecutor::new()).build_http(), endpoint, url })
    }

    pub(crate) async fn send(&self, body: &str) -> Result<(), BoxError> {
        let message = json!({ "QueueUrl": self.url, "MessageBody": body }).to_string();
        let request = Request::post(self.endpoint.clone())
            .header("x-amz-target", "AmazonSQS.SendMessage")
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .body(Full::from(message))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
    }
}
