//! `list`: shells, or the commands of one.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arguments, Rendered, Tools, parse, text};
use crate::{api::encoded, error::ToolError};

pub(super) const ABOUT: &str = "List your user's shells that have not ended, or with `session` the commands \
    of that shell in the order of their requests.";

/// The most shells or commands that are listed.
const LIMIT: u64 = 50;
/// The states of a shell that has not ended.
const OPEN: [&str; 5] = ["queued", "provisioning", "starting", "ready", "stopping"];

/// The arguments of `list`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// The shell (sh_...) whose commands to list. Default: list shells.
    session: Option<String>,
}

/// Shells, or the commands of one.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Lists {
    shells: Vec<Shell>,
    jobs: Vec<Job>,
}

/// A shell in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Shell {
    session: String,
    status: String,
    /// Whether it is the shell in which your commands run by default.
    own: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A command in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Job {
    job: String,
    /// start, execute, terminal or stop.
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    created_at: String,
}

impl Tools {
    pub(super) async fn list(&self, arguments: Arguments) -> Result<Lists, ToolError> {
        let List { session } = parse(arguments)?;
        if let Some(session) = session {
            let path = format!("/sessions/{}/jobs?limit={LIMIT}", encoded(&session));
            let page = self.api.get(&path).await?;
            return Ok(Lists { shells: Vec::new(), jobs: entries(&page).map(Job::of).collect() });
        }
        let own = self.own.started().await.unwrap_or_default();
        let page = self.api.get(&format!("/sessions?limit={LIMIT}")).await?;
        let open = entries(&page)
            .filter(|session| session["status"].as_str().is_some_and(|is| OPEN.contains(&is)));
        let shells = open.map(|session| Shell::of(session, &own)).collect();
        Ok(Lists { shells, jobs: Vec::new() })
    }
}

impl Shell {
    fn of(session: &Value, own: &str) -> Self {
        Self {
            session: text(&session["sessionId"]),
            status: text(&session["status"]),
            own: session["sessionId"] == own,
            created_at: text(&session["createdAt"]),
            expires_at: session["expiresAt"].as_str().map(str::to_owned),
        }
    }
}

impl Job {
    fn of(job: &Value) -> Self {
        Self {
            job: text(&job["jobId"]),
            kind: text(&job["type"]),
            status: text(&job["status"]),
            exit_code: job["exitCode"].as_i64(),
            created_at: text(&job["createdAt"]),
        }
    }
}

impl Rendered for Lists {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for shell in &self.shells {
            let own = if shell.own { " (your own)" } else { "" };
            lines.push(format!(
                "{} {}{own}, since {}",
                shell.session, shell.status, shell.created_at
            ));
        }
        for job in &self.jobs {
            let code = job.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            lines
                .push(format!("{} {} {}{code}, {}", job.job, job.kind, job.status, job.created_at));
        }
        if lines.is_empty() {
            return "none".to_owned();
        }
        lines.join("\n")
    }
}

fn entries(page: &Value) -> impl Iterator<Item = &Value> {
    page["data"].as_array().into_iter().flatten()
}
