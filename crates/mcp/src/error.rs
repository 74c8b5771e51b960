//! What went wrong with a call of a tool, in words for a model.

use std::fmt;

use bytes::Bytes;
use http::{Response, header::RETRY_AFTER};
use rmcp::model::{CallToolResult, ContentBlock};
use serde::Deserialize;

use crate::api::UnreachableError;

/// An error that the model sees: its code, what happened and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolError {
    code: String,
    message: String,
    action: String,
}

/// The body of a response that refuses a request (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    code: String,
    errors: Vec<FieldError>,
}

/// An invalid field of the request.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldError {
    #[serde(alias = "parameter", alias = "header")]
    pointer: String,
    detail: String,
}

impl ToolError {
    pub(crate) fn new(code: &str, message: impl Into<String>, action: &str) -> Self {
        Self { code: code.to_owned(), message: message.into(), action: action.to_owned() }
    }

    /// The arguments of the call are not those of the tool.
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self::new(
            "invalid_arguments",
            message,
            "Call the tool again with arguments as its schema says.",
        )
    }

    pub(crate) fn unreachable(error: &UnreachableError) -> Self {
        let action = "The command or file is not known to have arrived; call `list` once the server \
                      responds again, before you repeat anything.";
        Self::new("server_unreachable", error.to_string(), action)
    }

    /// The server's response can't be read.
    pub(crate) fn malformed() -> Self {
        let message = "the response of the server can't be read";
        Self::new(
            "internal",
            message,
            "Tell the user that client and server may have different versions.",
        )
    }

    /// The server refused the request.
    pub(crate) fn refused(response: &Response<Bytes>) -> Self {
        let problem: Problem = serde_json::from_slice(response.body()).unwrap_or_default();
        let mut message = problem.detail;
        for field in &problem.errors {
            if !message.contains(&field.detail) {
                message.push_str(&format!("; {}: {}", field.pointer, field.detail));
            }
        }
        if message.is_empty() {
            message = format!("the server responded with {}", response.status());
        }
        let code = if problem.code.is_empty() { "http_error" } else { &problem.code };
        let retry = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Self::new(code, message, &action(code, retry))
    }

    pub(crate) fn is_code(&self, code: &str) -> bool {
        self.code == code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The result of the call. It has no structured content, which would have to match the output schema.
    pub(crate) fn into_result(self) -> CallToolResult {
        let Self { code, message, action } = self;
        let text = format!("{code}: {message}\nWhat to do: {action}");
        CallToolResult::error(vec![ContentBlock::text(text)])
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What a model can do about a refused request.
fn action(code: &str, retry_after: Option<&str>) -> String {
    let action = match code {
        "quota_exceeded" | "capacity_exceeded" => {
            "Stop a shell that is not needed (`list`, `stop_shell`), then call this tool again."
        }
        "queue_full" => "Wait for earlier commands (`wait`) or cancel them (`cancel`).",
        "session_ended" | "session_draining" => {
            "That shell is gone with its files. Leave `session` out, or call `start_shell`."
        }
        "not_ready" => "The shell is starting. Call this tool again in a few seconds.",
        "not_found" => {
            "Call `list` for the ids that exist. Another user's ids are not found either."
        }
        "path_not_found" => "Call `list_files` to see what there is.",
        "permission_denied" => {
            "Commands and files have the rights of the shell's user; use a path of it."
        }
        "job_finished" => "The command has ended already. Call `poll` for its output.",
        "unauthenticated" => "Ask the user for a valid token of the server (EPHEMERAL_TOKEN).",
        "root_denied" => "Run the command without root.",
        "payload_too_large" => "Send less at once, or let a command fetch it.",
        "files_unavailable" => "Use `run` with `cat` and here-documents instead.",
        "invalid_request" | "invalid_path" | "malformed_json" => {
            "Correct the arguments that the message names."
        }
        _ if retry_after.is_some() => "",
        _ => "Tell the user; repeating the call will not help by itself.",
    };
    match retry_after {
        Some(seconds) => format!("{action} Retry after {seconds} s.").trim_start().to_owned(),
        None => action.to_owned(),
    }
}

#[cfg(test)]
mod tests;
