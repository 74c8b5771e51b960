//! The output streams of a job as users see them.

use domain::{
    command::Command,
    job::{Gap, Job, StreamStats},
    marks::Mark,
    ports::Stream,
};
use serde::Serialize;

/// A stream of a job's output. Lists and webhooks leave out the text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Stream"))]
pub(crate) struct StreamView {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<Part>,
    #[serde(flatten)]
    size: StreamSize,
}

/// How much of a stream there is. Bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StreamSize {
    /// Written by the command.
    bytes: u64,
    /// Stored: all of the stream up to the gap, and what is behind it.
    kept_bytes: u64,
    /// The command wrote more than is stored.
    truncated: bool,
    /// The part that is not stored although a part behind it is. Offsets: the first byte of the gap,
    /// and the first byte behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
}

/// A part of an output stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) encoding: Encoding,
    /// The offset of the next part. Bytes from the beginning of the stream.
    pub(crate) next_offset: u64,
    /// Only of merged output, and where the shell can tell: which of it was written to stdout, and which to
    /// stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) marks: Option<Vec<MarkView>>,
}

/// Where a command has written what follows in its merged output, up to the next mark. The first mark of a part
/// is at its offset.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Mark"))]
pub(crate) struct MarkView {
    /// Bytes from the beginning of the stream.
    offset: u64,
    /// Absent if it is not known: only the first 16,000 changes of the stored beginning and the last 16,000 of
    /// the stored end are marked.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamName>,
}

/// The name of an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

/// How the bytes of a stream are written in a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

impl From<Stream> for StreamName {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

impl From<StreamName> for Stream {
    fn from(name: StreamName) -> Self {
        match name {
            StreamName::Stdout => Self::Stdout,
            StreamName::Stderr => Self::Stderr,
        }
    }
}

impl From<Mark> for MarkView {
    fn from(mark: Mark) -> Self {
        Self { offset: mark.offset, stream: mark.stream.map(StreamName::from) }
    }
}

impl StreamView {
    pub(super) const fn of(stats: StreamStats) -> Self {
        Self { part: None, size: StreamSize::of_stats(stats) }
    }
}

impl StreamSize {
    /// The size of a job's stream.
    pub(crate) fn of(job: &Job, stream: Stream) -> Self {
        Self::of_stats(stats(job, stream))
    }

    const fn of_stats(stats: StreamStats) -> Self {
        let StreamStats { stored, written, gap } = stats;
        let end = stats.end();
        let bytes = if written > end { written } else { end };
        Self { bytes, kept_bytes: stored, truncated: stats.truncated(), gap }
    }
}

/// The sizes of a stream of a job. The second stream of a terminal is its recording, that of merged output has its
/// marks; neither is output.
pub(crate) fn stats(job: &Job, stream: Stream) -> StreamStats {
    let (stdout, stderr) = job.output();
    match stream {
        Stream::Stdout => stdout,
        Stream::Stderr if has_one_stream(job) => StreamStats::default(),
        Stream::Stderr => stderr,
    }
}

/// How many bytes of the job's terminal are recorded; none if it is not recorded.
pub(crate) fn recorded(job: &Job) -> Option<u64> {
    let is_recorded = job.command().and_then(|command| command.terminal)?.record;
    is_recorded.then(|| job.output().1.stored)
}

/// The sizes of the marks of the job's merged output; none if it has no marks.
pub(crate) fn marks(job: &Job) -> Option<StreamStats> {
    let has_marks = job.command().is_some_and(Command::has_marks);
    Some(job.output().1).filter(|stats| has_marks && stats.stored > 0)
}

fn has_one_stream(job: &Job) -> bool {
    job.command().is_some_and(|command| command.terminal.is_some() || command.merge)
}
