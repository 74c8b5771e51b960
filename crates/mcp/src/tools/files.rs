//! Files of a shell: `write_file`, `read_file` and `list_files`.

use base64::{Engine, prelude::BASE64_STANDARD};
use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arguments, Rendered, Tools, parse, text};
use crate::{
    api::encoded, error::ToolError, follow::Call, own_shell::Used, text::without_cut_characters,
};

pub(super) const ABOUT_WRITE: &str = "Write a file in a shell, as text or as base64. A file that exists is \
    replaced as a whole or, if this fails, left as it was. Directories that are missing are made.";
pub(super) const ABOUT_READ: &str = "Read a file of a shell, or a part of it. A part that is no UTF-8 text \
    is returned as base64.";
pub(super) const ABOUT_LIST: &str = "List a directory of a shell, level by level.";

/// The most bytes that one call reads.
const MAX_READ: u64 = 256 * 1024;
const DEFAULT_READ: u64 = 32 * 1024;
const DEFAULT_ENTRIES: u64 = 200;
/// How long a tool waits for a shell that starts. Seconds.
const READY_WAIT: u64 = 60;

/// The arguments of `write_file`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    /// A path in the shell; a relative one counts from the home directory.
    path: String,
    /// The content as text. Give either this or `base64`.
    text: Option<String>,
    /// The content in base64.
    base64: Option<String>,
    /// Permission bits in octal, for example "755". Default: those of the file that is replaced, or 644.
    mode: Option<String>,
    /// The shell (sh_...). Default: your own.
    session: Option<String>,
}

/// The arguments of `read_file`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// A path in the shell; a relative one counts from the home directory.
    path: String,
    /// The first byte to read. Default: 0.
    offset: Option<u64>,
    /// The most bytes to read: 1 to 262144. Default: 32768.
    limit: Option<u64>,
    /// The shell (sh_...). Default: your own.
    session: Option<String>,
}

/// The arguments of `list_files`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// A directory in the shell. Default: the home directory.
    path: Option<String>,
    /// 1 lists the directory, 2 also the directories in it, and so on, up to 32. Default: 1.
    depth: Option<u64>,
    /// The most entries: 1 to 10000. Default: 200.
    limit: Option<u64>,
    /// The shell (sh_...). Default: your own.
    session: Option<String>,
}

/// A file that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Written {
    session: String,
    path: String,
    /// Bytes.
    size: u64,
    /// Permission bits in octal.
    mode: String,
    /// What else you should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A file, or a part of one.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    session: String,
    path: String,
    /// Of the whole file. Bytes.
    size: u64,
    /// The first byte of this part.
    offset: u64,
    /// The content, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The content, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Where the next part begins; absent at the end of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
}

/// The entries of a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listing {
    session: String,
    path: String,
    entries: Vec<Entry>,
    /// There are more entries than the limit.
    truncated: bool,
}

/// An entry of a directory.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Entry {
    /// From the listed directory.
    path: String,
    /// file, directory, symlink or other.
    #[serde(rename = "type")]
    kind: String,
    /// Bytes.
    size: u64,
    /// Permission bits in octal.
    mode: String,
    /// The target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Tools {
    pub(super) async fn write_file(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<Written, ToolError> {
        let Write { path, text: content, base64, mode, session } = parse(arguments)?;
        let bytes = match (content, base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD
                .decode(base64)
                .map_err(|error| ToolError::arguments(format!("base64: {error}")))?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(ToolError::arguments("give either `text` or `base64`"));
            }
        };
        let mode = mode.map(|mode| format!("&mode={}", encoded(&mode))).unwrap_or_default();
        let (stored, used) = self
            .within_ready(session, call, |session| {
                let path = format!("{}{mode}", files(&session, "", &path));
                let bytes = bytes.clone();
                async move { self.api.put(&path, bytes).await }
            })
            .await?;
        let size = stored["size"].as_u64().ok_or_else(ToolError::malformed)?;
        let hint = used.replaced.map(|old| {
            format!("Your earlier shell {old} had ended; this file is in a new one, which has no others.")
        });
        Ok(Written { session: used.id, path, size, mode: text(&stored["mode"]), hint })
    }

    pub(super) async fn read_file(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<Content, ToolError> {
        let Read { path, offset, limit, session } = parse(arguments)?;
        let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(DEFAULT_READ));
        if !(1..=MAX_READ).contains(&limit) {
            return Err(ToolError::arguments(format!("limit: 1 to {MAX_READ}")));
        }
        let (part, used) = self
            .within_ready(session, call, |session| {
                let path = files(&session, "", &path);
                async move { self.api.part(&path, offset, limit).await }
            })
            .await?;
        // A part begins where the one before ended, so only its end may cut a character.
        let is_end = offset.saturating_add(part.bytes.len() as u64) >= part.size;
        let whole = if is_end { &part.bytes } else { without_cut_characters(&part.bytes) };
        let (shown, text) = match std::str::from_utf8(whole) {
            Ok(text) if !text.contains('\0') => (whole, Some(text.to_owned())),
            Ok(_) | Err(_) => (part.bytes.as_ref(), None),
        };
        let next = offset.saturating_add(shown.len() as u64);
        Ok(Content {
            session: used.id,
            path,
            size: part.size,
            offset,
            base64: text.is_none().then(|| BASE64_STANDARD.encode(shown)),
            text,
            next_offset: (next < part.size).then_some(next),
        })
    }

    pub(super) async fn list_files(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<Listing, ToolError> {
        let List { path, depth, limit, session } = parse(arguments)?;
        let path = path.unwrap_or_else(|| ".".to_owned());
        let (depth, limit) = (depth.unwrap_or(1), limit.unwrap_or(DEFAULT_ENTRIES));
        let (list, used) = self
            .within_ready(session, call, |session| {
                let path = files(&session, "/list", &path);
                async move { self.api.get(&format!("{path}&depth={depth}&limit={limit}")).await }
            })
            .await?;
        let entries =
            Vec::<Entry>::deserialize(&list["entries"]).map_err(|_| ToolError::malformed())?;
        let truncated = list["truncated"].as_bool().unwrap_or_default();
        Ok(Listing { session: used.id, path, entries, truncated })
    }

    /// Does something in a session that must be ready, and waits for that if it is not yet.
    async fn within_ready<T, F>(
        &self,
        session: Option<String>,
        call: &Call,
        act: impl Fn(String) -> F,
    ) -> Result<(T, Used), ToolError>
    where
        F: Future<Output = Result<T, ToolError>>,
    {
        let act = &act;
        let act_when_ready = |session: String| async move {
            match act(session.clone()).await {
                Err(error) if error.is_code("not_ready") => {
                    self.until_ready(&session, call).await?;
                    act(session).await
                }
                result => result,
            }
        };
        self.own.within(session, act_when_ready).await
    }

    /// Waits for the start of a session.
    pub(super) async fn until_ready(&self, session: &str, call: &Call) -> Result<Value, ToolError> {
        let path = format!("/sessions/{}", encoded(session));
        let job = text(&self.api.get(&path).await?["startJobId"]);
        call.follow(&self.api, &job, READY_WAIT).await?;
        self.api.get(&path).await
    }
}

impl Rendered for Written {
    fn text(&self) -> String {
        let hint = self.hint.iter().map(|hint| format!("\n--- {hint}")).collect::<String>();
        format!("wrote {} ({} bytes, mode {}){hint}", self.path, self.size, self.mode)
    }
}

impl Rendered for Content {
    fn text(&self) -> String {
        let rest = self
            .next_offset
            .map(|next| format!("\n--- {} bytes in all; read on with offset {next}", self.size));
        let rest = rest.unwrap_or_default();
        match (&self.text, &self.base64) {
            (Some(text), _) => format!("{text}{rest}"),
            (None, base64) => {
                let length = base64.as_ref().map_or(0, String::len) / 4 * 3;
                format!("about {length} bytes that are no text; `base64` has them{rest}")
            }
        }
    }
}

impl Rendered for Listing {
    fn text(&self) -> String {
        let mut lines: Vec<String> = self.entries.iter().map(Entry::line).collect();
        if lines.is_empty() {
            lines.push(format!("{} is empty", self.path));
        }
        if self.truncated {
            lines.push("--- there are more; give a higher limit or a directory below".to_owned());
        }
        lines.join("\n")
    }
}

impl Entry {
    fn line(&self) -> String {
        let target = self.target.iter().map(|target| format!(" -> {target}")).collect::<String>();
        let slash = if self.kind == "directory" { "/" } else { "" };
        format!("{} {:>10} {}{slash}{target}", self.mode, self.size, self.path)
    }
}

/// The path of the API for a path in a shell.
fn files(session: &str, what: &str, path: &str) -> String {
    format!("/sessions/{}/files{what}?path={}", encoded(session), encoded(path))
}
