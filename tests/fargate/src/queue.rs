//! SendMessage to a queue of SQS: JSON 1.0 over plain HTTP, unsigned. An emulator takes it.

use axum::http::{Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    client: Client<HttpConnector, Full<axum::body::Bytes>>,
    endpoint: Uri,
    url: String,
}

impl Queue {
    /// The endpoint is the origin of the URL if none is given.
    pub(crate) fn new(url: String, endpoint: Option<&str>) -> Result<Self, BoxError> {
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.parse::<Uri>()?,
            None => {
                let queue = url.parse::<Uri>()?;
                let authority = queue.authority().ok_or("the queue's URL names no host")?;
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
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let told = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{status}: {}", String::from_utf8_lossy(&told)).into())
    }
}
