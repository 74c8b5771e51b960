//! `GET /v1/sessions/{id}/files`: a file or a part of it. `GET …/files/archive`: a tar archive.

use std::ops::Range;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderName, Method, StatusCode,
        header::{
            ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
            IF_RANGE, LAST_MODIFIED, RANGE, VARY,
        },
    },
    response::{IntoResponse, Response},
};
use domain::{
    SessionId,
    file::{Attributes, FileAction, FileReply},
};
use futures::{StreamExt, stream};

use super::{Encoding, ShellFiles, conditions, job, path_only, unexpected, view, with_header};
use crate::{
    Env,
    http::{
        extract::{Id, Params, User},
        problem::{Code, Problem},
    },
};

/// The permission bits of the file, in octal.
const FILE_MODE: HeaderName = HeaderName::from_static("file-mode");

pub(in crate::http) async fn get(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = params.read(path_only)?;
    if env.transfers.is_some() {
        job::check_method(&method)?;
        conditions::refuse_of_job(&headers)?;
        return job::accept(&env, user, id, path, FileAction::Read, None).await;
    }
    let mut shell = ShellFiles::open(&env, &user, id, path, FileAction::Read).await?;
    let FileReply::Found(found) = shell.next().await? else { return Err(unexpected()) };
    if conditions::is_known(&headers, &found)? {
        return Ok(response(StatusCode::NOT_MODIFIED, &found, None, Body::empty()));
    }
    let Ok(part) = wanted_part(&method, &headers, &found) else {
        let size = found.size;
        let detail = format!("the file has {size} bytes, and none of the requested range");
        let problem = Problem::new(Code::RangeNotSatisfiable, detail);
        return Ok(with_header(problem, CONTENT_RANGE, &format!("bytes */{size}")));
    };
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let range = part.clone().unwrap_or(0..found.size);
    let length = range.end - range.start;
    if method == Method::HEAD || length == 0 {
        return Ok(response(status, &found, part, Body::empty()));
    }
    shell.ask(range.start, length).await?;
    Ok(response(status, &found, part, pieces(shell, Some(length))))
}

pub(in crate::http) async fn pack(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = params.read(path_only)?;
    let encoding = Encoding::of_response(&env, &headers);
    let action = FileAction::Pack { gzip: encoding == Encoding::Gzip };
    if env.transfers.is_some() {
        job::check_method(&method)?;
        return job::accept(&env, user, id, path, action, None).await;
    }
    let mut shell = ShellFiles::open(&env, &user, id, path, action).await?;
    if encoding == Encoding::Zstd {
        shell = shell.by_zstd(|zstd, transfer| zstd.compress(&user, transfer)).await?;
    }
    let FileReply::Ready = shell.next().await? else { return Err(unexpected()) };
    // An archive that can't even be begun is refused; later, only the connection can be broken.
    let body = if method == Method::HEAD {
        // Without a length, as the archive has none.
        Body::from_stream(stream::empty::<std::io::Result<Bytes>>())
    } else {
        let FileReply::Piece(first) = shell.next().await? else { return Err(unexpected()) };
        let first = stream::iter([Ok(Bytes::from(first))]);
        Body::from_stream(first.chain(pieces(shell, None).into_data_stream()))
    };
    let mut response =
        ([(CONTENT_TYPE, "application/x-tar"), (VARY, "Accept-Encoding")], body).into_response();
    if let Some(name) = encoding.content_encoding() {
        response.headers_mut().insert(CONTENT_ENCODING, header(name));
    }
    Ok(response)
}

/// The pieces that a shell sends, to the end. A body that has less breaks the connection, so that the client
/// knows that it is not complete.
fn pieces(shell: ShellFiles, length: Option<u64>) -> Body {
    let state = Some((shell, length));
    Body::from_stream(stream::try_unfold(state, async |state| {
        let Some((mut shell, left)) = state else { return Ok(None) };
        match shell.next().await {
            Ok(FileReply::Piece(piece)) => {
                shell.used().await;
                let left = left.map(|left| left.saturating_sub(piece.len() as u64));
                let state = (left != Some(0)).then_some((shell, left));
                Ok(Some((Bytes::from(piece), state)))
            }
            Ok(FileReply::Done(_)) => Ok(None),
            Ok(FileReply::Found(_) | FileReply::Ready | FileReply::Entries(_)) | Err(_) => {
                Err(std::io::Error::other("the shell ended the transfer"))
            }
        }
    }))
}

fn response(
    status: StatusCode,
    found: &Attributes,
    part: Option<Range<u64>>,
    body: Body,
) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    describe(found, headers);
    headers.insert(ACCEPT_RANGES, header("bytes"));
    if status == StatusCode::NOT_MODIFIED {
        return response;
    }
    headers.insert(CONTENT_TYPE, header("application/octet-stream"));
    let length = part.as_ref().map_or(found.size, |part| part.end - part.start);
    headers.insert(CONTENT_LENGTH, length.into());
    if let Some(Range { start, end }) = part {
        let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), found.size);
        headers.insert(CONTENT_RANGE, header(&range));
    }
    response
}

/// Adds the headers that describe a file.
pub(super) fn describe(found: &Attributes, headers: &mut HeaderMap) {
    let modified = conditions::modified_at(found);
    headers.insert(ETAG, header(&view::etag(found)));
    headers.insert(LAST_MODIFIED, header(&httpdate::fmt_http_date(modified)));
    headers.insert(FILE_MODE, header(&view::octal(found.mode)));
}

fn header(text: &str) -> axum::http::HeaderValue {
    text.parse().expect("it has letters, digits and punctuation only")
}

/// The part of the file that the request asks for by RFC 9110, 14.2; `None` for all of it, which is also the
/// answer to several ranges, and to what is not understood.
///
/// # Errors
/// The file has nothing of the part.
fn wanted_part(
    method: &Method,
    headers: &HeaderMap,
    found: &Attributes,
) -> Result<Option<Range<u64>>, ()> {
    // A request for the headers is one for those of the whole file.
    let range = headers.get(RANGE).filter(|_| method != Method::HEAD);
    let range = range.and_then(|value| value.to_str().ok());
    let Some((first, last)) = range.and_then(parse_range) else { return Ok(None) };
    if let Some(etag) = headers.get(IF_RANGE)
        && etag.as_bytes() != view::etag(found).as_bytes()
    {
        return Ok(None);
    }
    let size = found.size;
    let part = match (first, last) {
        (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        (None, last) => size.saturating_sub(last.unwrap_or(0))..size,
    };
    if part.is_empty() { Err(()) } else { Ok(Some(part)) }
}

/// The two numbers of `bytes=FIRST-LAST`, one of which may be absent.
fn parse_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            // A number beyond the range of integers is beyond every file.
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let (first, last) = (number(first)?, number(last)?);
    let is_valid = match (first, last) {
        (Some(first), Some(last)) => first <= last,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    (unit.trim().eq_ignore_ascii_case("bytes") && is_valid).then_some((first, last))
}
