//! A job's output, shortened for a model.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::Requests,
    error::ToolError,
    text::{readable, without_cut_characters},
};

/// The most that is shown of a stream. Bytes, before characters are removed.
pub(crate) const LIMIT: u64 = 16 * 1024;

/// A position in both streams of a job: the offsets of the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
}

/// Which part of output that is longer than [`LIMIT`] is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Its beginning and its end.
    Ends,
    /// Its beginning, so that the next call continues there.
    Next,
}

/// A part of stdout or stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// The text, without control characters and sequences for terminals.
    pub(crate) text: String,
    /// Bytes that the command has written to this stream in all.
    pub(crate) bytes: u64,
    /// Bytes that are left out within the text, where it says so.
    pub(crate) omitted_bytes: u64,
}

/// What is shown of both streams, and how to read on.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// Behind what is shown.
    pub(crate) next: Cursor,
    /// Where bytes were left out that the server has.
    pub(crate) omitted: Option<Cursor>,
    /// Whether the server has more behind what is shown.
    pub(crate) more: bool,
}

/// A part of a stream, as the API gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    offset: u64,
    text: String,
    encoding: String,
    next_offset: u64,
    bytes: u64,
    kept_bytes: u64,
}

/// One stream, shown.
struct Part {
    output: Output,
    next: u64,
    omitted_at: Option<u64>,
    more: bool,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stdout, self.stderr)
    }
}

impl FromStr for Cursor {
    type Err = ToolError;

    fn from_str(text: &str) -> Result<Self, ToolError> {
        let offsets = text.split_once('.').and_then(|(stdout, stderr)| {
            Some(Self { stdout: stdout.parse().ok()?, stderr: stderr.parse().ok()? })
        });
        offsets.ok_or_else(|| {
            ToolError::arguments(format!(
                "{text:?} is no cursor; take the one of an earlier result"
            ))
        })
    }
}

/// The output of a job, which the API has answered, from this position on.
pub(crate) async fn show(
    api: &Requests,
    job: &Value,
    from: Cursor,
    selection: Selection,
) -> Result<Shown, ToolError> {
    let stdout = stream(api, job, "stdout", from.stdout, selection).await?;
    let stderr = stream(api, job, "stderr", from.stderr, selection).await?;
    let omitted = (stdout.omitted_at.is_some() || stderr.omitted_at.is_some()).then(|| Cursor {
        stdout: stdout.omitted_at.unwrap_or(stdout.next),
        stderr: stderr.omitted_at.unwrap_or(stderr.next),
    });
    Ok(Shown {
        next: Cursor { stdout: stdout.next, stderr: stderr.next },
        omitted,
        more: stdout.more || stderr.more,
        stdout: stdout.output,
        stderr: stderr.output,
    })
}

async fn stream(
    api: &Requests,
    job: &Value,
    name: &str,
    from: u64,
    selection: Selection,
) -> Result<Part, ToolError> {
    // The beginning of the output comes with the job.
    let inline: Page = Page::deserialize(&job[name]).map_err(|_| ToolError::malformed())?;
    let id = job["jobId"].as_str().unwrap_or_default();
    let page = async |offset: u64, limit: u64| {
        let path = format!("/jobs/{id}/output?stream={name}&offset={offset}&limit={limit}");
        let page = api.get(&path).await?;
        Page::deserialize(&page).map_err(|_| ToolError::malformed())
    };
    let bytes = inline.bytes;
    let rest = bytes.saturating_sub(from);
    if selection == Selection::Next || rest <= LIMIT {
        let page = match inline {
            inline if from == 0 && inline.next_offset == bytes && bytes <= LIMIT => inline,
            _ => page(from, LIMIT).await?,
        };
        return page.only(from);
    }
    let head = page(from, LIMIT / 2).await?;
    let tail = page(head.next_offset.max(bytes - LIMIT / 2), LIMIT / 2).await?;
    head.and(&tail, from)
}

impl Page {
    /// This page alone.
    fn only(&self, from: u64) -> Result<Part, ToolError> {
        let skipped = self.offset.saturating_sub(from);
        let text = format!("{}{}", left_out(skipped), readable(&self.decoded()?));
        let output = Output { text, bytes: self.bytes, omitted_bytes: skipped };
        let more = self.next_offset > self.offset && self.next_offset < self.bytes;
        Ok(Part { output, next: self.next_offset, omitted_at: None, more })
    }

    /// This page, and a later one.
    fn and(&self, tail: &Self, from: u64) -> Result<Part, ToolError> {
        let skipped = self.offset.saturating_sub(from);
        let omitted = tail.offset.saturating_sub(self.next_offset);
        let (first, last) = (self.decoded()?, tail.decoded()?);
        let text = format!(
            "{}{}{}{}",
            left_out(skipped),
            readable(without_cut_characters(&first)),
            left_out(omitted),
            readable(without_cut_characters(&last)),
        );
        let output = Output { text, bytes: tail.bytes, omitted_bytes: skipped + omitted };
        // Of what was left out, the server may have kept nothing behind the beginning.
        let is_kept = omitted > 0 && tail.kept_bytes > self.next_offset;
        let omitted_at = is_kept.then_some(self.next_offset);
        let more = tail.next_offset > tail.offset && tail.next_offset < tail.bytes;
        Ok(Part { output, next: tail.next_offset, omitted_at, more })
    }

    fn decoded(&self) -> Result<Vec<u8>, ToolError> {
        if self.encoding == "base64" {
            BASE64_STANDARD.decode(&self.text).map_err(|_| ToolError::malformed())
        } else {
            Ok(self.text.clone().into_bytes())
        }
    }
}

/// The line at the place of bytes that are left out.
fn left_out(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!("\n[... {bytes} bytes left out ...]\n") }
}

#[cfg(test)]
mod tests;
