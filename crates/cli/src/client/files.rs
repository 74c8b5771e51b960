//! Requests for files. Some servers answer them themselves. Others accept them as jobs, and let the bytes go
//! through a store of objects: then the result of the job is asked for, and its URL used without our token.

use std::{
    io::{self, SeekFrom},
    sync::atomic::{AtomicBool, Ordering},
};

use futures::{Stream, TryStreamExt};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

use super::{Client, RESPONSE_TIMEOUT, read};
use crate::error::{CliError, Exit};

/// The header with the permission bits of a file.
pub(crate) const FILE_MODE: &str = "file-mode";
/// How long a response is asked to wait for the end of the job. Seconds.
const WAIT: u32 = 25;
/// How many bytes of a file are sent at once.
const CHUNK: usize = 256 << 10;

/// Where bytes are to be put.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    upload_id: String,
    url: String,
}

impl Client {
    /// The list of a directory. It tells, also if there is none, whether the server answers such requests itself.
    pub(crate) async fn list(&self, path: &str) -> Result<Value, CliError> {
        let is_job = AtomicBool::new(false);
        let listed = self
            .retry(async || {
                let request = self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT);
                let response = self.send(request).await?;
                is_job.store(result_of(&response).is_some(), Ordering::Relaxed);
                self.json(self.settled(response).await?).await
            })
            .await;
        let has_looked = match &listed {
            Ok(_) => true,
            Err(error) => error.is_code("path_not_found") || error.is_code("not_a_directory"),
        };
        self.takes_bytes.store(has_looked && !is_job.into_inner(), Ordering::Relaxed);
        listed
    }

    /// Opens the body of a file or of an archive.
    pub(crate) async fn download(&self, path: &str) -> Result<Response, CliError> {
        let response = self.settled(self.send(self.request(Method::GET, path)).await?).await?;
        self.located(response, |request| request).await
    }

    /// Sends bytes as they come, once. `uploads` is the route that tells where to put them, if the server does
    /// not take them itself; then bytes without a known length are gathered in a temporary file first.
    pub(crate) async fn put(
        &self,
        path: &str,
        uploads: &str,
        length: Option<u64>,
        bytes: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    ) -> Result<Value, CliError> {
        let Some(upload) = self.upload(uploads, length.unwrap_or(0)).await? else {
            let mut request = self.request(Method::PUT, path).body(Body::wrap_stream(bytes));
            if let Some(length) = length {
                request = request.header(header::CONTENT_LENGTH, length);
            }
            return self.json(self.send(request).await?).await;
        };
        let (length, body, upload) = match length {
            Some(length) => (length, Body::wrap_stream(bytes), Some(upload)),
            None => {
                let (length, body) = gathered(bytes).await.map_err(|error| {
                    CliError::chain("can't gather what is to be copied", &error)
                })?;
                (length, body, self.upload(uploads, length).await?)
            }
        };
        let upload = upload.ok_or_else(|| CliError::new(Exit::Other, "the server has changed"))?;
        let sent = self.http.put(&upload.url).header(header::CONTENT_LENGTH, length).body(body);
        self.stored(sent).await?;
        let path = format!("{path}&upload={}", upload.upload_id);
        let accepted = self.send(self.request(Method::PUT, &path).body("")).await?;
        self.json(self.settled(accepted).await?).await
    }

    /// Where to put so many bytes; `None` if the server takes them itself.
    async fn upload(&self, uploads: &str, length: u64) -> Result<Option<Upload>, CliError> {
        if self.takes_bytes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.post(uploads, &json!({"size": length})).await {
            Ok(upload) => Ok(Some(read(&upload)?)),
            // An earlier server has no such route.
            Err(error)
                if ["uploads_unavailable", "not_found", "method_not_allowed"]
                    .iter()
                    .any(|code| error.is_code(code)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts bytes where the server wants them; the id of the upload.
    pub(super) async fn put_upload(
        &self,
        uploads: &str,
        bytes: bytes::Bytes,
    ) -> Result<String, CliError> {
        let upload = self.upload(uploads, bytes.len() as u64).await?;
        let upload = upload.ok_or_else(|| CliError::new(Exit::Other, "the server has changed"))?;
        self.stored(self.http.put(&upload.url).body(bytes)).await?;
        Ok(upload.upload_id)
    }

    /// The response to a request that may have been accepted as a job: that of its result.
    pub(super) async fn settled(&self, mut response: Response) -> Result<Response, CliError> {
        while let Some(path) = result_of(&response) {
            let path = path.trim_start_matches("/v1");
            let ask =
                async || self.send(self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT)).await;
            response = self.retry(ask).await?;
        }
        Ok(response)
    }

    /// Follows a redirection, whose target gets no token. The headers that describe the file stay.
    pub(super) async fn located(
        &self,
        response: Response,
        change: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, CliError> {
        if response.status() != StatusCode::SEE_OTHER {
            return Ok(response);
        }
        let url = response.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
        let url = url.ok_or_else(|| CliError::new(Exit::Other, "the server named no URL"))?;
        let mut located = self.stored(change(self.http.get(url))).await?;
        if let Some(mode) = response.headers().get(FILE_MODE) {
            located.headers_mut().insert(FILE_MODE, mode.clone());
        }
        Ok(located)
    }

    /// The response of the store of objects. Its URL is a secret, and so is what it says about it.
    async fn stored(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| {
            CliError::chain("no response from the store of objects", &error.without_url())
        })?;
        let status = response.status();
        if !status.is_success() {
            let message = format!("the store of objects responded with {status}");
            let error = CliError::new(Exit::Other, message);
            return Err(if status == StatusCode::FORBIDDEN {
                error.hint("its URL is valid for 15 minutes; try again")
            } else {
                error.hint("try again")
            });
        }
        Ok(response)
    }
}

/// The path of the result of a request for files, if it was accepted as a job.
pub(super) fn result_of(response: &Response) -> Option<String> {
    let job = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let is_job = response.status() == StatusCode::ACCEPTED;
    is_job.then(|| format!("{job}/result?waitSeconds={WAIT}"))
}

/// Gathers bytes in a file without a name; their number, and the body.
async fn gathered(bytes: impl Stream<Item = io::Result<Vec<u8>>>) -> io::Result<(u64, Body)> {
    let mut file = File::from_std(tempfile::tempfile()?);
    let mut bytes = std::pin::pin!(bytes);
    let mut length = 0;
    while let Some(chunk) = bytes.try_next().await? {
        file.write_all(&chunk).await?;
        length += chunk.len() as u64;
    }
    file.flush().await?;
    file.seek(SeekFrom::Start(0)).await?;
    let chunks = futures::stream::try_unfold(file, async |mut file| {
        let mut chunk = vec![0; CHUNK];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok::<_, io::Error>((count > 0).then_some((chunk, file)))
    });
    Ok((length, Body::wrap_stream(chunks)))
}
