//! `PUT /v1/sessions/{id}/files`: writes a file. `PUT …/files/archive`: unpacks a tar archive.

use std::pin::pin;

use axum::{
    Json,
    body::{Body, BodyDataStream, Bytes},
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH},
    },
    response::{IntoResponse, Response},
};
use domain::{
    SessionId, UploadId,
    file::{Attributes, FileAction, FilePath, FileReply, FilesDone},
};
use futures::{
    StreamExt,
    future::{Either, select},
};
use serde_json::{Value, json};

use super::{
    ArchiveView, Encoding, MAX_UPLOAD, ShellFiles, StoredFileView, conditions, encoding, job,
    path_only, unexpected,
};
use crate::{
    Env,
    http::{
        extract::{Id, Params, User},
        problem::{Code, Problem},
        rule::{FieldError, Rule, component, string},
    },
};

/// How much of a body is received that is not stored. Bytes.
const MAX_DISCARDED: u64 = 64 << 20;

/// What an upload asks for.
pub(in crate::http) struct WriteQuery {
    path: Option<FilePath>,
    mode: Option<u32>,
    upload: Option<UploadId>,
}

/// What an archive is unpacked to.
pub(in crate::http) struct UnpackQuery {
    path: Option<FilePath>,
    upload: Option<UploadId>,
}

impl WriteQuery {
    pub(in crate::http) fn read(params: &mut Params) -> Self {
        let path = path_only(params);
        let mode = params.optional("mode", mode());
        let upload = params.optional("upload", upload_id());
        Self { path, mode, upload }
    }
}

impl UnpackQuery {
    pub(in crate::http) fn read(params: &mut Params) -> Self {
        let path = path_only(params);
        let upload = params.optional("upload", upload_id());
        Self { path, upload }
    }
}

fn upload_id() -> Rule<impl Fn(Value) -> Result<UploadId, FieldError>> {
    let read = |value| {
        let wrong = || FieldError::new("must be an uploadId");
        string(value)?.parse().map_err(|_| wrong())
    };
    Rule::new(read, || component("UploadId")).describe(
        "The upload with the bytes, where the API does not take them itself; the request has no body then.",
    )
}

pub(in crate::http) fn mode() -> Rule<impl Fn(Value) -> Result<u32, FieldError>> {
    let read = |value| {
        let text = string(value)?;
        let is_octal =
            (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
        mode.ok_or_else(|| FieldError::new("must be octal permission bits from 0 to 0777"))
    };
    Rule::new(read, || json!({"type": "string", "pattern": "^0?[0-7]{1,3}$"})).describe(
        "Permission bits in octal. Those of the file that is replaced if absent, or 0644.",
    )
}

pub(in crate::http) async fn put(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let WriteQuery { path, mode, upload } = params.read(WriteQuery::read)?;
    let (headers, mut body) = Upload::of(request)?;
    if let Some(upload) = job::upload_of(&env, upload)? {
        let action = FileAction::Write { mode };
        return job::accept(&env, user, id, path, action, Some(upload)).await;
    }
    let stored = body
        .answer(async |body| {
            if headers.contains_key(CONTENT_ENCODING) {
                let detail = "a file is stored as it is sent; send it without Content-Encoding";
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
            let action = FileAction::Write { mode };
            let shell = ShellFiles::open(&env, &user, id, path, action).await?;
            body.send_to(shell).await
        })
        .await?;
    let (Some(found), done) = stored else { return Err(unexpected()) };
    let status = if done.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(StoredFileView::of(&found))).into_response())
}

pub(in crate::http) async fn unpack(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let UnpackQuery { path, upload } = params.read(UnpackQuery::read)?;
    let (headers, mut body) = Upload::of(request)?;
    if let Some(upload) = job::upload_of(&env, upload)? {
        return match Encoding::of_body(&env, &headers) {
            Ok(encoding) => {
                job::accept(&env, user, id, path, unpack_action(encoding), Some(upload)).await
            }
            Err(problem) => Ok(encoding::unsupported(&env, problem)),
        };
    }
    let unpacked = body
        .answer(async |body| {
            let encoding = Encoding::of_body(&env, &headers)?;
            let mut shell =
                ShellFiles::open(&env, &user, id, path, unpack_action(encoding)).await?;
            if encoding == Encoding::Zstd {
                shell = shell.by_zstd(|zstd, transfer| zstd.decompress(&user, transfer)).await?;
            }
            body.send_to(shell).await
        })
        .await;
    let (_, done) = match unpacked {
        Err(problem) if problem.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return Ok(encoding::unsupported(&env, problem));
        }
        unpacked => unpacked?,
    };
    Ok(Json(ArchiveView { entries: done.entries }).into_response())
}

/// What a shell does with an archive. It gets one that is compressed by zstd as it is without that.
fn unpack_action(encoding: Encoding) -> FileAction {
    FileAction::Unpack { gzip: encoding == Encoding::Gzip }
}

/// The body of an upload.
struct Upload {
    body: BodyDataStream,
    received: u64,
}

/// What happens next in an upload.
enum Next {
    Body(Option<Result<Bytes, axum::Error>>),
    Shell(Result<FileReply, Problem>),
}

impl Upload {
    /// # Errors
    /// The body is known to be too large, or the request has a condition.
    fn of(request: Request) -> Result<(HeaderMap, Self), Problem> {
        let (parts, body): (_, Body) = request.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if length.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > MAX_UPLOAD)
        {
            return Err(too_large());
        }
        conditions::refuse(&parts.headers)?;
        Ok((parts.headers, Self { body: body.into_data_stream(), received: 0 }))
    }

    /// Answers the request. Before a refusal the rest of the body is received, unless it is long: many
    /// clients can't read a response while they send.
    async fn answer<T>(
        &mut self,
        answer: impl AsyncFnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let answered = answer(self).await;
        if answered.is_err() {
            let most = self.received.saturating_add(MAX_DISCARDED).min(MAX_UPLOAD);
            while self.received < most
                && let Some(Ok(piece)) = self.body.next().await
            {
                self.received += piece.len() as u64;
            }
        }
        answered
    }

    /// Sends the whole body to the shell, and waits until it is stored.
    async fn send_to(
        &mut self,
        mut shell: ShellFiles,
    ) -> Result<(Option<Attributes>, FilesDone), Problem> {
        let FileReply::Ready = shell.next().await? else { return Err(unexpected()) };
        loop {
            let next = {
                let reply = pin!(shell.next());
                match select(self.body.next(), reply).await {
                    Either::Left((piece, _)) => Next::Body(piece),
                    Either::Right((reply, _)) => Next::Shell(reply),
                }
            };
            match next {
                Next::Body(Some(Ok(piece))) => {
                    self.count(&piece)?;
                    shell.send(&piece).await?;
                }
                Next::Body(None) => break,
                Next::Body(Some(Err(_))) => {
                    let detail = "the body did not arrive completely, or too slowly";
                    return Err(Problem::new(Code::InvalidRequest, detail));
                }
                Next::Shell(reply) => {
                    reply?;
                    return Err(unexpected());
                }
            }
        }
        shell.finish().await?;
        let mut found = None;
        loop {
            match shell.next().await? {
                FileReply::Found(attributes) => found = Some(attributes),
                FileReply::Done(done) => return Ok((found, done)),
                FileReply::Ready | FileReply::Entries(_) | FileReply::Piece(_) => {
                    return Err(unexpected());
                }
            }
        }
    }

    fn count(&mut self, piece: &Bytes) -> Result<(), Problem> {
        self.received += piece.len() as u64;
        if self.received > MAX_UPLOAD { Err(too_large()) } else { Ok(()) }
    }
}

fn too_large() -> Problem {
    let detail = format!("an upload must not have more than {MAX_UPLOAD} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}
