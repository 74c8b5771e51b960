//! Headers that make a request depend on the state of a file (RFC 9110, 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
};
use domain::file::Attributes;

use super::view;
use crate::http::problem::{Code, InputError, Problem};

/// The headers by which a client would limit a change to a part of the file or to a state of it.
const OF_CHANGES: [&str; 4] = ["Content-Range", "If-Match", "If-None-Match", "If-Unmodified-Since"];
/// The headers by which a client wants one state of the file and no other.
const OF_DOWNLOADS: [&str; 2] = ["If-Match", "If-Unmodified-Since"];

/// Refuses a change that depends on the state of the file.
///
/// # Errors
/// The request has such a header. A part that replaced the whole file, or a change in spite of its condition,
/// would lose data.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    let detail = "is not supported: the whole file is replaced or removed in any case";
    refuse_any(headers, &OF_CHANGES, detail)
}

/// Refuses a download of one state of the file where it is a job, which can't tell the states apart.
///
/// # Errors
/// The request has such a header. The client would take another file for the one that it wants.
pub(super) fn refuse_of_job(headers: &HeaderMap) -> Result<(), Problem> {
    let detail = "is not supported, because this download is a job: compare the ETag of its result";
    refuse_any(headers, &OF_DOWNLOADS, detail)
}

fn refuse_any(
    headers: &HeaderMap,
    names: &[&'static str],
    detail: &'static str,
) -> Result<(), Problem> {
    let Some(name) = names.iter().find(|name| headers.contains_key(**name)) else {
        return Ok(());
    };
    Err(Problem::invalid(vec![InputError::in_header(name, detail)]))
}

/// Whether the client knows the file already.
///
/// # Errors
/// The file is not the one that the client wants.
pub(super) fn is_known(headers: &HeaderMap, found: &Attributes) -> Result<bool, Problem> {
    let etag = view::etag(found);
    let is_newer = |name| date(headers, name).map(|date| seconds(modified_at(found)) > date);
    let is_wanted = listed(headers, &IF_MATCH)
        .map(|mut tags| tags.any(|tag| tag == "*" || tag == etag))
        .or_else(|| is_newer(IF_UNMODIFIED_SINCE).map(|newer| !newer));
    if is_wanted == Some(false) {
        let detail = format!("the file has changed: its ETag is {etag}");
        return Err(Problem::new(Code::PreconditionFailed, detail));
    }
    let is_known = listed(headers, &IF_NONE_MATCH)
        .map(|mut tags| tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag))
        .or_else(|| is_newer(IF_MODIFIED_SINCE).map(|newer| !newer));
    Ok(is_known == Some(true))
}

/// When the content of the file was changed; the epoch for a time before it.
pub(super) fn modified_at(found: &Attributes) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(found.modified_at.millis()).unwrap_or(0))
}

/// The entity tags of a header; `None` if the request does not have it.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<impl Iterator<Item = &'a str>> {
    let values = headers.contains_key(name).then(|| headers.get_all(name));
    let texts = values?.into_iter().filter_map(|value| value.to_str().ok());
    Some(texts.flat_map(|value| value.split(',')).map(str::trim))
}

/// The time of a header in seconds; one that is not valid is ignored.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let value = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(value).ok().map(seconds)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
