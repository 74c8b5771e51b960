//! `GET /v1/jobs/{id}/output`: a stream of a job's output, part by part.

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{JobId, job::Job, ports::Stream};
use serde::Serialize;

use super::{
    extract::{Id, Params, User, number},
    jobs,
    problem::Problem,
    reply::Reply,
};
use crate::{
    Env,
    view::{self, Encoding, Part, StreamView},
};

const DEFAULT_LIMIT: u64 = 64 * 1024;
const MAX_LIMIT: u64 = 1024 * 1024;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    job_id: JobId,
    stream: &'static str,
    offset: u64,
    #[serde(flatten)]
    output: StreamView,
    /// Nothing comes after this part, ever.
    complete: bool,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    mut params: Params,
) -> Result<Reply, Problem> {
    let stream = params.take("stream", |text| match text {
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err("must be stdout or stderr".into()),
    });
    let offset = params.take("offset", number(0..=u64::from(u32::MAX))).unwrap_or(0);
    let limit = params.take("limit", number(1..=MAX_LIMIT)).unwrap_or(DEFAULT_LIMIT);
    params.finish()?;
    let job = jobs::owned(&env, &user, id).await?.value;
    let stream = stream.unwrap_or(Stream::Stdout);
    let part = part(&env, &job, stream, offset, limit).await?;
    let complete = jobs::is_final(&job) && part.next_offset >= stored(&job, stream);
    let seen = view::job(&job);
    let mut output = match stream {
        Stream::Stdout => seen.stdout,
        Stream::Stderr => seen.stderr,
    };
    output.part = Some(part);
    Ok(Reply::ok(&Output { job_id: id, stream: stream.name(), offset, output, complete }))
}

/// At most `limit` bytes of a stream from `offset` on.
pub(super) async fn part(
    env: &Env,
    job: &Job,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<Part, Problem> {
    let stored = stored(job, stream);
    let bytes = if offset < stored {
        // Not beyond what this record says, though more may be stored by now.
        let limit = limit.min(stored - offset);
        env.store.output(job.id(), stream, offset, limit).await?.into_inner()
    } else {
        Vec::new()
    };
    let end = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let growing = !jobs::is_final(job) && end >= stored;
    Ok(encode(bytes, offset, growing))
}

/// Text where the bytes are text, and not mostly control characters, of which JSON makes six bytes
/// each: gateways limit an answer, some to 6 MB. A character that the part's end cuts is left to the next part;
/// `growing` says that its rest may not be written yet.
fn encode(mut bytes: Vec<u8>, offset: u64, growing: bool) -> Part {
    if let Err(error) = str::from_utf8(&bytes)
        && error.error_len().is_none()
        && (error.valid_up_to() > 0 || growing)
    {
        bytes.truncate(error.valid_up_to());
    }
    let next_offset = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (text, encoding) = match String::from_utf8(bytes) {
        Ok(text) if is_readable(&text) => (text, Encoding::Utf8),
        Ok(text) => (BASE64_STANDARD.encode(text), Encoding::Base64),
        Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), Encoding::Base64),
    };
    Part { text, encoding, next_offset }
}

fn is_readable(text: &str) -> bool {
    let escaped = text.bytes().filter(|byte| byte.is_ascii_control() && !b"\t\n\r".contains(byte));
    escaped.count() <= text.len() / 4
}

const fn stored(job: &Job, stream: Stream) -> u64 {
    let (stdout, stderr) = job.output();
    match stream {
        Stream::Stdout => stdout.stored,
        Stream::Stderr => stderr.stored,
    }
}

#[cfg(test)]
mod tests;
