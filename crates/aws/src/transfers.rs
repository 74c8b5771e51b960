//! Objects of the deployment's bucket, to which clients and shells get presigned URLs: the bytes of files
//! never pass through a function.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use adapters::shell::{printed_replies, to_wire};
use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_types::{SdkConfig, region::Region};
use axum::http::Request;
use domain::{
    Secret, Timestamp,
    command::{Command, Program},
    file::{FileAction, FileJob, FileReply},
    ports::{BackendError, BoxError, FilesError, TransferUrl, Transfers},
};
use link::Order;
use runner::protocol::files::Bytes;

/// The program in the image of shells.
const PROGRAM: &str = "/opt/ephemeral/runner-transfer";
/// The names of all objects begin with this; the rules of the bucket and of its permissions do too.
const PREFIX: &str = "files/";
/// How long a URL is valid.
const VALID_FOR: Duration = Duration::from_mins(15);
/// The service name in signatures.
const SERVICE: &str = "s3";
const ACTION: &str = "making a URL for an object";

/// The objects of one bucket.
pub struct S3Transfers {
    region: Option<Region>,
    credentials: Option<SharedCredentialsProvider>,
    /// The URL of the bucket, without a slash at the end.
    bucket: String,
}

impl S3Transfers {
    /// `bucket` is the URL of the bucket, without a slash at the end.
    pub fn new(config: &SdkConfig, bucket: String) -> Self {
        let (region, credentials) = (config.region().cloned(), config.credentials_provider());
        Self { region, credentials, bucket }
    }

    /// Permits one method, with exactly so many bytes if a number is given. The permission is that of this
    /// process, for this object.
    async fn presign(
        &self,
        method: &'static str,
        object: &str,
        bytes: Option<u64>,
        now: SystemTime,
    ) -> Result<TransferUrl, BackendError> {
        let (Some(credentials), Some(region)) = (&self.credentials, &self.region) else {
            return Err(failed("no credentials or region are configured"));
        };
        let identity = credentials.provide_credentials().await.map_err(failed)?.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID_FOR);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name(SERVICE)
            .time(now)
            .settings(settings)
            .build()
            .map_err(failed)?
            .into();
        let url = format!("{}/{PREFIX}{object}", self.bucket);
        let length = bytes.map(|bytes| bytes.to_string());
        let headers = length.iter().map(|length| ("content-length", length.as_str()));
        let request = SignableRequest::new(method, &url, headers, SignableBody::UnsignedPayload)
            .map_err(failed)?;
        let (instructions, _) = sign(request, &params).map_err(failed)?.into_parts();
        let mut request = Request::builder().uri(&url).body(()).map_err(failed)?;
        instructions.apply_to_request_http1x(&mut request);
        let expires_at = now + VALID_FOR;
        let since = expires_at.duration_since(SystemTime::UNIX_EPOCH).map_err(failed)?;
        let millis = i64::try_from(since.as_millis()).map_err(failed)?;
        Ok(TransferUrl {
            url: Secret::new(request.uri().to_string()),
            expires_at: Timestamp::from_millis(millis),
        })
    }
}

#[async_trait]
impl Transfers for S3Transfers {
    async fn put_url(&self, object: &str, bytes: u64) -> Result<TransferUrl, BackendError> {
        self.presign("PUT", object, Some(bytes), SystemTime::now()).await
    }

    async fn get_url(&self, object: &str) -> Result<TransferUrl, BackendError> {
        self.presign("GET", object, None, SystemTime::now()).await
    }

    async fn command(
        &self,
        command: &Command,
        job: &FileJob,
        object: &str,
    ) -> Result<Command, BackendError> {
        let method = match job.action {
            FileAction::Read | FileAction::Pack { .. } => Some("PUT"),
            FileAction::Write { .. } | FileAction::Unpack { .. } => Some("GET"),
            FileAction::Remove { .. } | FileAction::List { .. } => None,
        };
        let url = match method {
            // How long the shell's file is, is not known here.
            Some(method) => Some(self.presign(method, object, None, SystemTime::now()).await?),
            None => None,
        };
        let order = Order {
            path: Bytes(job.path.0.clone()),
            action: to_wire(job.action),
            url: url.map(|url| url.url.into_inner()),
        };
        Ok(Command {
            program: Secret::new(Program::Argv(vec![PROGRAM.to_owned()])),
            stdin: Secret::new(serde_json::to_vec(&order).map_err(failed)?),
            ..command.clone()
        })
    }

    fn replies(&self, printed: &[u8]) -> Result<Vec<FileReply>, FilesError> {
        printed_replies(printed)
    }
}

impl fmt::Debug for S3Transfers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Transfers").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

fn failed(error: impl Into<BoxError>) -> BackendError {
    BackendError::new(ACTION, error)
}

#[cfg(test)]
mod tests;
