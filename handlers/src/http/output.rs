//! `GET /v1/jobs/{id}/output`: a part of a job's stdout or stderr.

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    JobId,
    job::Job,
    marks::{MAX_MARK_BYTES, Marks},
    ports::Stream,
};
use serde::Serialize;

use super::{
    extract::{Id, Params, User},
    jobs,
    problem::Problem,
    reply::Reply,
    rule::{digits, one_of},
};
use crate::{
    Env,
    view::{self, Encoding, MarkView, Part, StreamName, StreamSize},
};

/// The size of a part unless the request says otherwise. Bytes.
const DEFAULT_LIMIT: u32 = 64 * 1024;
/// The largest part. Bytes.
const MAX_LIMIT: u32 = 1024 * 1024;

/// The largest offset: the largest integer that JavaScript represents. A command may write far more than is
/// stored.
pub(super) const MAX_OFFSET: u64 = (1 << 53) - 1;

/// A part of a stream of a job's output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Output {
    job_id: JobId,
    stream: StreamName,
    /// The offset of the part: the requested one, or the end of the gap if that is in the gap.
    offset: u64,
    #[serde(flatten)]
    part: Part,
    #[serde(flatten)]
    size: StreamSize,
    /// No more output follows this part.
    complete: bool,
}

/// Which part of the output is wanted.
pub(super) struct OutputQuery {
    stream: StreamName,
    offset: u64,
    limit: u32,
}

impl OutputQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let names = [StreamName::Stdout, StreamName::Stderr];
        let stream = params.with_default("stream", one_of(&names), StreamName::Stdout);
        let offset = params.with_default("offset", digits(0..=MAX_OFFSET), 0);
        let limit = digits(1..=MAX_LIMIT)
            .describe("Bytes. A part ends before a character that it would cut.");
        let limit = params.with_default("limit", limit, DEFAULT_LIMIT);
        Self { stream, offset, limit }
    }
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    params: Params,
) -> Result<Reply, Problem> {
    let OutputQuery { stream: name, offset, limit } = params.read(OutputQuery::read)?;
    let stream = name.into();
    let job = jobs::owned(&env, &user, id).await?.value;
    let (offset, part) = part(&env, &job, stream, offset, limit.into()).await?;
    let complete = jobs::is_final(&job) && part.next_offset >= view::stats(&job, stream).end();
    let size = StreamSize::of(&job, stream);
    Ok(Reply::ok(&Output { job_id: id, stream: name, offset, part, size, complete }))
}

/// At most `limit` bytes of a stream from `offset` on, and the offset of the first of them: if the given
/// one is in the gap of the stream, the end of the gap. A part ends at the gap.
pub(super) async fn part(
    env: &Env,
    job: &Job,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<(u64, Part), Problem> {
    let stats = view::stats(job, stream);
    let (offset, position, follow) = stats.find(offset);
    let bytes = if follow > 0 {
        // More may be stored by now; the answer is about this record.
        env.store.output(job.id(), stream, position, limit.min(follow)).await?.into_inner()
    } else {
        Vec::new()
    };
    let end = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let growing = !jobs::is_final(job) && end >= stats.end();
    let mut part = encode(bytes, offset, growing);
    if stream == Stream::Stdout && part.next_offset > offset {
        part.marks = marks(env, job, offset, part.next_offset).await?;
    }
    Ok((offset, part))
}

/// The marks of a part of merged output; none if it has none.
async fn marks(env: &Env, job: &Job, from: u64, to: u64) -> Result<Option<Vec<MarkView>>, Problem> {
    let Some(stats) = view::marks(job) else { return Ok(None) };
    let limit = stats.stored.min(MAX_MARK_BYTES);
    let bytes = env.store.output(job.id(), Stream::Stderr, 0, limit).await?.into_inner();
    let marks = Marks::read(&bytes, stats).of_part(from, to);
    Ok(Some(marks.into_iter().map(MarkView::from).collect()))
}

/// Writes the bytes as text, or in base64 if they are not UTF-8 or mostly control characters: JSON
/// takes six bytes for each of these, and gateways limit a response, some to 6 MB. A character that
/// the end of the part cuts is left to the next part; with `growing`, even if the part is then empty,
/// because the rest of the character may not be written yet.
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
    Part { text, encoding, next_offset, marks: None }
}

fn is_readable(text: &str) -> bool {
    let escaped = text.bytes().filter(|byte| byte.is_ascii_control() && !b"\t\n\r".contains(byte));
    escaped.count() <= text.len() / 4
}

#[cfg(test)]
mod tests;
