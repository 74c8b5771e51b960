//! The tools: their definitions, and what each of them does.

use std::sync::LazyLock;

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{api::Requests, error::ToolError, follow::Call, own_shell::OwnShell, schema};

mod files;
mod job;
mod list;
mod run;
mod shells;

/// What the tools of one client share.
pub(crate) struct Tools {
    pub(crate) api: Requests,
    pub(crate) own: OwnShell,
}

/// What a tool returns: structured, and as text for models.
pub(crate) trait Rendered: Serialize {
    fn text(&self) -> String;
}

type Arguments = Map<String, Value>;

/// All tools, in the order in which they are listed.
pub(crate) static DEFINITIONS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        tool::<run::Run, job::JobResult>("run", run::ABOUT, RUNS),
        tool::<job::Poll, job::JobResult>("poll", job::ABOUT_POLL, READS),
        tool::<job::Wait, job::JobResult>("wait", job::ABOUT_WAIT, READS),
        tool::<job::Cancel, job::JobResult>("cancel", job::ABOUT_CANCEL, REMOVES),
        tool::<files::Write, files::Written>("write_file", files::ABOUT_WRITE, REMOVES),
        tool::<files::Read, files::Content>("read_file", files::ABOUT_READ, READS),
        tool::<files::List, files::Listing>("list_files", files::ABOUT_LIST, READS),
        tool::<shells::Start, shells::ShellResult>("start_shell", shells::ABOUT_START, ADDS),
        tool::<shells::Stop, shells::ShellResult>("stop_shell", shells::ABOUT_STOP, REMOVES),
        tool::<list::List, list::Lists>("list", list::ABOUT, READS),
    ]
});

/// What a tool does to its environment.
#[derive(Clone, Copy)]
struct Effect {
    read_only: bool,
    destructive: bool,
    idempotent: bool,
    open_world: bool,
}

const READS: Effect =
    Effect { read_only: true, destructive: false, idempotent: true, open_world: false };
const ADDS: Effect =
    Effect { read_only: false, destructive: false, idempotent: false, open_world: false };
const REMOVES: Effect =
    Effect { read_only: false, destructive: true, idempotent: true, open_world: false };
/// A command may do anything within its shell, and reach what its network reaches.
const RUNS: Effect =
    Effect { read_only: false, destructive: true, idempotent: false, open_world: true };

fn tool<I, O>(name: &'static str, about: &'static str, effect: Effect) -> Tool
where
    I: schemars::JsonSchema + 'static,
    O: schemars::JsonSchema + 'static,
{
    let annotations = ToolAnnotations::new()
        .read_only(effect.read_only)
        .destructive(effect.destructive)
        .idempotent(effect.idempotent)
        .open_world(effect.open_world);
    Tool::new(name, about, schema::input::<I>())
        .with_raw_output_schema(schema::output::<O>())
        .with_annotations(annotations)
}

impl Tools {
    /// Calls a tool; `None` if there is no such tool.
    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: Option<JsonObject>,
        call: &Call,
    ) -> Option<CallToolResult> {
        let arguments = arguments.unwrap_or_default();
        let result = match name {
            "run" => render(self.run(arguments, call).await),
            "poll" => render(self.poll(arguments).await),
            "wait" => render(self.wait(arguments, call).await),
            "cancel" => render(self.cancel(arguments, call).await),
            "write_file" => render(self.write_file(arguments, call).await),
            "read_file" => render(self.read_file(arguments, call).await),
            "list_files" => render(self.list_files(arguments, call).await),
            "start_shell" => render(self.start_shell(arguments, call).await),
            "stop_shell" => render(self.stop_shell(arguments, call).await),
            "list" => render(self.list(arguments).await),
            _ => return None,
        };
        Some(result)
    }
}

fn parse<T: DeserializeOwned>(arguments: Arguments) -> Result<T, ToolError> {
    serde_json::from_value(arguments.into())
        .map_err(|error| ToolError::arguments(error.to_string()))
}

fn render<T: Rendered>(result: Result<T, ToolError>) -> CallToolResult {
    let rendered = result.and_then(|result| {
        let structured = serde_json::to_value(&result).map_err(|_| ToolError::malformed())?;
        let mut shown = CallToolResult::success(vec![ContentBlock::text(result.text())]);
        shown.structured_content = Some(structured);
        Ok(shown)
    });
    rendered.unwrap_or_else(ToolError::into_result)
}

/// Sets a field of a request's body, if there is a value.
fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// The text of a JSON string; empty if it is none.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
