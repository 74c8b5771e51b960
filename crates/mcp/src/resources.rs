//! Resources: the output of a job, and the timeline of a session.

use rmcp::{
    ErrorData,
    model::{ReadResourceResult, ResourceContents, ResourceTemplate},
};
use serde_json::{Value, json};

use crate::{
    api::{Requests, encoded},
    error::ToolError,
    text::readable,
};

/// The most of an output stream that a resource contains. Bytes.
const LIMIT: u64 = 1024 * 1024;

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named<'a> {
    Output { job: &'a str, stream: &'a str },
    Timeline { session: &'a str },
}

/// The templates of all resources.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let output = |stream: &str| {
        ResourceTemplate::new(format!("ephemeral://jobs/{{job}}/{stream}"), format!("job-{stream}"))
            .with_description(format!(
                "What a command (job_...) has written to {stream} so far, up to 1 MiB; what the server \
                 kept of it"
            ))
            .with_mime_type("text/plain")
    };
    let timeline =
        ResourceTemplate::new("ephemeral://sessions/{session}/timeline", "session-timeline")
            .with_description("What happened to a shell (sh_...), in order")
            .with_mime_type("application/json");
    vec![output("stdout"), output("stderr"), timeline]
}

/// The content of a resource.
pub(crate) async fn read(api: &Requests, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let unknown = || ErrorData::resource_not_found("no such resource", Some(json!({"uri": uri})));
    let content = match parse(uri).ok_or_else(unknown)? {
        Named::Output { job, stream } => output(api, uri, job, stream).await,
        Named::Timeline { session } => timeline(api, uri, session).await,
    };
    match content {
        Ok(content) => Ok(ReadResourceResult::new(vec![content])),
        Err(error) if error.is_code("not_found") => Err(unknown()),
        Err(error) => Err(ErrorData::internal_error(error.message().to_owned(), None)),
    }
}

fn parse(uri: &str) -> Option<Named<'_>> {
    let mut parts = uri.strip_prefix("ephemeral://")?.split('/');
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        ("jobs", job, stream @ ("stdout" | "stderr"), None) => Some(Named::Output { job, stream }),
        ("sessions", session, "timeline", None) => Some(Named::Timeline { session }),
        _ => None,
    }
}

async fn output(
    api: &Requests,
    uri: &str,
    job: &str,
    stream: &str,
) -> Result<ResourceContents, ToolError> {
    let path = format!("/jobs/{}/output?stream={stream}&limit={LIMIT}", encoded(job));
    let page = api.get(&path).await?;
    let text = page["text"].as_str().ok_or_else(ToolError::malformed)?;
    if page["encoding"] != "base64" {
        return Ok(ResourceContents::text(readable(text.as_bytes()), uri));
    }
    Ok(ResourceContents::blob(text, uri).with_mime_type("application/octet-stream"))
}

async fn timeline(api: &Requests, uri: &str, session: &str) -> Result<ResourceContents, ToolError> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/sessions/{}/events?after={after}&limit=100", encoded(session));
        let page = api.get(&path).await?;
        let data = page["data"].as_array().ok_or_else(ToolError::malformed)?;
        if data.is_empty() {
            break;
        }
        entries.extend(data.iter().cloned());
        after = page["nextAfter"].as_u64().ok_or_else(ToolError::malformed)?;
    }
    let text = Value::Array(entries).to_string();
    Ok(ResourceContents::text(text, uri).with_mime_type("application/json"))
}

#[cfg(test)]
mod tests;
