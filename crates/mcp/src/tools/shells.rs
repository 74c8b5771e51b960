//! Shells: `start_shell` and `stop_shell`.

use std::collections::BTreeMap;

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Arguments, Rendered, Tools, parse, set, text};
use crate::{api::encoded, error::ToolError, follow::Call};

pub(super) const ABOUT_START: &str = "Start a further shell, for example one with a network, with more \
    memory or apart from your own. Give its `session` to other tools. It ends by `stop_shell`, after \
    `idleTimeoutSeconds` without a command or after its `ttlSeconds`, but not with this connection.";
pub(super) const ABOUT_STOP: &str = "Stop a shell: its commands are ended and its files deleted. Without \
    `session`, your own, after which the next command starts a new one.";

const IDLE_TIMEOUT: u64 = 30 * 60;
/// How long `stop_shell` waits for the end of the shell. Seconds.
const STOP_WAIT: u64 = 20;

/// The arguments of `start_shell`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Start {
    /// "egress" for a way to the internet, "none" without one. Default: "none".
    network: Option<String>,
    /// One of the images of the server. Default: "default".
    image: Option<String>,
    /// In units of 1/1024 core: 256, 512, 1024, 2048 or 4096. Give `memoryMiB` with it.
    cpu: Option<u64>,
    /// MiB of memory, as much as goes with this cpu: 512 to 2048 with 256.
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<u64>,
    /// MiB of disk.
    #[serde(rename = "diskMiB")]
    disk_mib: Option<u64>,
    /// When the shell ends at the latest, counted from its start. Default: that of the server.
    ttl_seconds: Option<u64>,
    /// When the shell ends if it runs no command. Default: 1800.
    idle_timeout_seconds: Option<u64>,
    /// Environment variables of all of its commands.
    env: Option<BTreeMap<String, String>>,
}

/// The arguments of `stop_shell`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// The shell (sh_...). Default: your own.
    session: Option<String>,
}

/// A shell.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShellResult {
    /// The id of the shell.
    session: String,
    /// queued, provisioning, starting, ready, stopping, stopped or failed.
    status: String,
    /// Why it ended or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it ends at the latest (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// What to do next, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Tools {
    pub(super) async fn start_shell(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<ShellResult, ToolError> {
        let start: Start = parse(arguments)?;
        let accepted = self.api.post("/shell/start", &start.body().into()).await?;
        let session = text(&accepted["sessionId"]);
        // The shell was accepted: a client that does not know its id would start another one.
        Ok(match self.until_ready(&session, call).await {
            Ok(session) => ShellResult::of(&session),
            Err(error) => ShellResult::unread(session, "queued", &error),
        })
    }

    pub(super) async fn stop_shell(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<ShellResult, ToolError> {
        let Stop { session } = parse(arguments)?;
        let session = match session {
            Some(session) => session,
            None => self.own.started().await.ok_or_else(|| {
                let message = "you have no shell of your own at present";
                ToolError::new("not_found", message, "There is nothing to stop.")
            })?,
        };
        let stop = json!({"sessionId": session});
        let accepted = self.api.post("/shell/stop", &stop).await?;
        self.own.forget(&session).await;
        // The client's own shell is forgotten now, so without its id the call could not be repeated.
        let stopped = async {
            call.follow(&self.api, &text(&accepted["jobId"]), STOP_WAIT).await?;
            self.api.get(&format!("/sessions/{}", encoded(&session))).await
        };
        Ok(match stopped.await {
            Ok(session) => ShellResult::of(&session),
            Err(error) => ShellResult::unread(session, "stopping", &error),
        })
    }
}

impl Start {
    /// The body of the request.
    fn body(self) -> Map<String, Value> {
        let mut size = Map::new();
        set(&mut size, "cpu", self.cpu);
        set(&mut size, "memoryMiB", self.memory_mib);
        set(&mut size, "diskMiB", self.disk_mib);
        let mut body = Map::new();
        set(&mut body, "network", self.network);
        set(&mut body, "image", self.image);
        set(&mut body, "size", (!size.is_empty()).then_some(size));
        set(&mut body, "ttlSeconds", self.ttl_seconds);
        set(
            &mut body,
            "idleTimeoutSeconds",
            Some(self.idle_timeout_seconds.unwrap_or(IDLE_TIMEOUT)),
        );
        set(&mut body, "env", self.env.map(|env| json!(env)));
        body.insert("metadata".to_owned(), json!({"startedBy": "mcp"}));
        body
    }
}

impl ShellResult {
    /// A session as the API shows it.
    fn of(session: &Value) -> Self {
        let optional = |name: &str| session[name].as_str().map(str::to_owned);
        Self {
            session: text(&session["sessionId"]),
            status: text(&session["status"]),
            reason: optional("reason"),
            expires_at: optional("expiresAt"),
            hint: None,
        }
    }

    /// A session whose start or stop was accepted, and of which no more could be read.
    fn unread(session: String, status: &str, error: &ToolError) -> Self {
        let hint = format!(
            "The request was accepted, but the state of the shell can't be read now ({error}). Don't repeat \
             it: `list` shows the shell {session}."
        );
        let status = status.to_owned();
        Self { session, status, reason: None, expires_at: None, hint: Some(hint) }
    }
}

impl Rendered for ShellResult {
    fn text(&self) -> String {
        let reason = self.reason.iter().map(|reason| format!(" ({reason})")).collect::<String>();
        let until = self.expires_at.iter().map(|at| format!(", until {at}")).collect::<String>();
        let hint = self.hint.iter().map(|hint| format!("\n--- {hint}")).collect::<String>();
        format!("{} {}{reason}{until}{hint}", self.session, self.status)
    }
}
