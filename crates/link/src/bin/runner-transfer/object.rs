//! The object, which one URL permits to get or to put.
//!
//! Its entity tag is compared with the MD5 of the bytes, which it is for objects that were put as a whole and are
//! encrypted by the store (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>).

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{TryStreamExt, stream};
use md5::{Digest, Md5};
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap},
    redirect,
};
use runner::protocol::files::FileError;

use crate::{
    TransferError,
    files::{Files, Frame},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the store may be silent.
const SILENCE: Duration = Duration::from_mins(1);
/// How many bytes of a file are sent at once.
const CHUNK: usize = 256 << 10;
/// How much of a refusal is read. Bytes.
const MAX_REFUSAL: usize = 4 << 10;

/// An object, as its URL names it. The URL is never part of an error.
pub(crate) struct Object {
    client: Client,
    url: String,
}

/// The bytes of an object that is put, of which the length is known.
pub(crate) struct Body {
    body: reqwest::Body,
    length: u64,
    digest: Arc<Mutex<Md5>>,
}

/// The bytes of an object that is got.
pub(crate) struct Bytes {
    response: Response,
    digest: Md5,
}

impl Object {
    pub(crate) fn new(url: &str) -> Result<Self, TransferError> {
        // An error means that a provider is installed already, which is sufficient.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            // Variables of the session are not meant for this program.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        if url.starts_with("http:") {
            // Plain http needs no certificates, and an image may have none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(broken)?;
        Ok(Self { client, url: url.to_owned() })
    }

    pub(crate) async fn put(
        &self,
        Body { body, length, digest }: Body,
        encoding: Option<&'static str>,
    ) -> Result<(), TransferError> {
        let mut request = self.client.put(&self.url).body(body);
        request =
            request.header(CONTENT_LENGTH, length).header(CONTENT_TYPE, "application/octet-stream");
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let response = accepted(request.send().await.map_err(broken)?).await?;
        let digest = digest.lock().map(|digest| digest.clone()).unwrap_or_default();
        check(response.headers(), digest)
    }

    pub(crate) async fn get(&self) -> Result<Bytes, TransferError> {
        let request = self.client.get(&self.url).send();
        let response = tokio::time::timeout(SILENCE, request).await;
        let response = response.map_err(|_| silent())?.map_err(broken)?;
        Ok(Bytes { response: accepted(response).await?, digest: Md5::new() })
    }
}

impl Bytes {
    /// The next bytes; fewer than the announced ones are an error.
    pub(crate) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, TransferError> {
        let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| silent())?.map_err(broken)?;
        if let Some(chunk) = &chunk {
            self.digest.update(chunk);
        }
        Ok(chunk)
    }

    /// Checks that these were the bytes of the object.
    pub(crate) fn check(&self) -> Result<(), TransferError> {
        check(self.response.headers(), self.digest.clone())
    }
}

impl Body {
    /// The pieces that the process sends. If they are fewer, the object is not put.
    pub(crate) fn of_pieces(files: Files, length: u64) -> Self {
        Self::of(Source::Process { files: Box::new(files), left: length }, length)
    }

    /// The content of a file.
    pub(crate) fn of_file(mut file: File, length: u64) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self::of(Source::File(file), length))
    }

    fn of(source: Source, length: u64) -> Self {
        let digest = Arc::new(Mutex::new(Md5::new()));
        let seen = digest.clone();
        let pieces = stream::try_unfold(source, async |mut source| {
            let piece = source.next().await?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, source)))
        });
        let pieces = pieces.inspect_ok(move |piece| {
            if let Ok(mut digest) = seen.lock() {
                digest.update(piece);
            }
        });
        Self { body: reqwest::Body::wrap_stream(pieces), length, digest }
    }
}

/// Where the bytes of an object come from.
enum Source {
    Process { files: Box<Files>, left: u64 },
    File(File),
}

impl Source {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Process { left: 0, .. } => Ok(None),
            Self::Process { files, left } => match files.next().await {
                Ok(Frame::Piece(piece)) => {
                    *left = left.saturating_sub(piece.len() as u64);
                    Ok(Some(piece))
                }
                Ok(Frame::Reply(_)) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Self::File(file) => {
                let mut piece = vec![0; CHUNK];
                let count = file.read(&mut piece)?;
                piece.truncate(count);
                Ok((count > 0).then_some(piece))
            }
        }
    }
}

/// The response of the store, unless it refuses the request.
async fn accepted(response: Response) -> Result<Response, TransferError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let refusal = refusal(response).await;
    if refusal.contains("expired") {
        let message = "the permission for the bytes expired before the shell used it".to_owned();
        return Err(TransferError::Refused(FileError::NotTransferred, message));
    }
    match status {
        // A store does not tell whether an object is missing to those who may not list its objects.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
            let message = "there are no bytes: nothing was uploaded, or more than a day ago";
            Err(TransferError::Refused(FileError::NoUpload, message.to_owned()))
        }
        _ => Err(TransferError::Broken(format!("the store of objects answered {status}"))),
    }
}

/// The beginning of a refusal.
async fn refusal(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_REFUSAL
        && let Ok(Ok(Some(chunk))) = tokio::time::timeout(SILENCE, response.chunk()).await
    {
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check(headers: &HeaderMap, digest: Md5) -> Result<(), TransferError> {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"'));
    let is_md5 = |tag: &&str| tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    match tag.filter(is_md5) {
        Some(tag) if !tag.eq_ignore_ascii_case(&format!("{:x}", digest.finalize())) => {
            Err(TransferError::Broken("the bytes were changed on their way".to_owned()))
        }
        _ => Ok(()),
    }
}

fn silent() -> TransferError {
    TransferError::Broken("the store of objects does not answer".to_owned())
}

fn broken(error: reqwest::Error) -> TransferError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    TransferError::Broken(text)
}
