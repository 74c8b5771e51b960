//! Signs the WebSocket upgrade of a data channel, as AWS's session-manager-plugin does since version
//! 1.2.764.

use std::time::SystemTime;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_types::{SdkConfig, region::Region};
use domain::ports::BackendError;

const ACTION: &str = "signing a data channel request";
/// The service name in signatures.
const SERVICE: &str = "ssmmessages";

/// Signs with the credentials of this process.
#[derive(Debug)]
pub(super) struct Signer {
    region: Option<Region>,
    credentials: Option<SharedCredentialsProvider>,
}

impl Signer {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { region: config.region().cloned(), credentials: config.credentials_provider() }
    }

    /// The headers that sign a request to this URL. Empty for a URL that contains a signature, and for one
    /// without TLS, which is not an AWS endpoint.
    pub(super) async fn headers(&self, url: &str) -> Result<Vec<(String, String)>, BackendError> {
        self.headers_at(url, SystemTime::now()).await
    }

    async fn headers_at(
        &self,
        url: &str,
        now: SystemTime,
    ) -> Result<Vec<(String, String)>, BackendError> {
        let Some(rest) = url.strip_prefix("wss://").filter(|_| !is_signed(url)) else {
            return Ok(Vec::new());
        };
        let (Some(credentials), Some(region)) = (&self.credentials, &self.region) else {
            return Err(BackendError::new(ACTION, "no credentials or region are configured"));
        };
        let credentials = credentials.provide_credentials().await;
        let identity = credentials.map_err(|error| BackendError::new(ACTION, error))?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| BackendError::new(ACTION, error))?
            .into();
        let url = format!("https://{rest}");
        let body = SignableBody::Bytes(&[]);
        let signed = SignableRequest::new("GET", &url, std::iter::empty(), body)
            .and_then(|request| sign(request, &params))
            .map_err(|error| BackendError::new(ACTION, error))?;
        let headers = signed.output().headers();
        Ok(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Whether the query contains a signature.
fn is_signed(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| {
        query.split('&').any(|pair| pair.to_ascii_lowercase().starts_with("x-amz-"))
    })
}

#[cfg(test)]
mod tests;
