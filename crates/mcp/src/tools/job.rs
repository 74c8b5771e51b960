//! Jobs: `poll`, `wait` and `cancel`, and how a job is shown.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Arguments, Rendered, Tools, parse, text};
use crate::{
    api::encoded,
    error::ToolError,
    follow::{Call, is_final},
    output::{Cursor, Output, Selection, Shown, show},
    own_shell::Used,
};

pub(super) const ABOUT_POLL: &str = "Read the output of a command from a cursor on, without waiting. \
    Returns the next 16 KiB of stdout and of stderr, and the cursor to continue with. Use it to page \
    through long output.";
pub(super) const ABOUT_WAIT: &str = "Wait until a command has ended, at most so many seconds, and return \
    its status and its output from the cursor on. Cancelling this call ends the wait only; the command \
    runs on.";
pub(super) const ABOUT_CANCEL: &str = "End a running or queued command, with all of its processes.";

/// The longest that a call waits for a command. Seconds.
pub(super) const MAX_WAIT: u64 = 300;
const DEFAULT_WAIT: u64 = 30;
/// How long `cancel` waits for the end of the command. Seconds.
const CANCEL_WAIT: u64 = 10;

/// The arguments of `poll`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    /// The id of the command (job_...).
    job: String,
    /// The cursor of an earlier result. Default: the beginning, "0.0".
    cursor: Option<String>,
}

/// The arguments of `wait`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// The id of the command (job_...).
    job: String,
    /// The longest wait: 0 to 300. Default: 30.
    seconds: Option<u64>,
    /// The cursor of an earlier result, to see only what is new. Default: the beginning, "0.0".
    cursor: Option<String>,
}

/// The arguments of `cancel`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    /// The id of the command (job_...).
    job: String,
}

/// A command and a part of its output.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobResult {
    /// The id of the command, for `wait`, `poll` and `cancel`.
    job: String,
    /// The shell in which it runs.
    session: String,
    /// queued, running, completed, failed, timed_out, cancelled or lost.
    status: String,
    /// Only of a command that exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// The number of the signal that ended the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i64>,
    /// Why the command could not be run or has no outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobError>,
    /// Only of a command with a `shellName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<JobShell>,
    stdout: Output,
    stderr: Output,
    /// Behind the output in this result; for `poll` and `wait`.
    cursor: String,
    /// What to do next, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Why a command could not be run or has no outcome.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct JobError {
    code: String,
    message: String,
}

/// The shell process that commands of the same name share.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct JobShell {
    name: String,
    /// Whether it was started for this command: nothing that earlier commands had set was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_new: Option<bool>,
    /// Whether it ended with this command: the next command of the name finds nothing of what was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_ended: Option<bool>,
}

impl Tools {
    pub(super) async fn poll(&self, arguments: Arguments) -> Result<JobResult, ToolError> {
        let Poll { job, cursor } = parse(arguments)?;
        let from = position(cursor)?;
        let job = self.api.get(&format!("/jobs/{}", encoded(&job))).await?;
        self.job_result(&job, from, Selection::Next, None).await
    }

    pub(super) async fn wait(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<JobResult, ToolError> {
        let Wait { job, seconds, cursor } = parse(arguments)?;
        let (from, most) = (position(cursor)?, wait_time(seconds, DEFAULT_WAIT)?);
        let job = call.follow(&self.api, &job, most).await?;
        self.job_result(&job, from, Selection::Ends, None).await
    }

    pub(super) async fn cancel(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<JobResult, ToolError> {
        let Cancel { job } = parse(arguments)?;
        self.api.post(&format!("/jobs/{}/cancel", encoded(&job)), &json!({})).await?;
        let job = call.follow(&self.api, &job, CANCEL_WAIT).await?;
        self.job_result(&job, Cursor::default(), Selection::Ends, None).await
    }

    /// A job as the API shows it, for a model.
    pub(super) async fn job_result(
        &self,
        job: &Value,
        from: Cursor,
        selection: Selection,
        used: Option<&Used>,
    ) -> Result<JobResult, ToolError> {
        let shown = show(&self.api, job, from, selection).await?;
        let hint = hint(job, &shown, used);
        Ok(JobResult {
            job: text(&job["jobId"]),
            session: text(&job["sessionId"]),
            status: text(&job["status"]),
            exit_code: job["exitCode"].as_i64(),
            signal: job["signal"].as_i64(),
            error: JobError::of(job),
            shell: JobShell::of(job),
            cursor: shown.next.to_string(),
            stdout: shown.stdout,
            stderr: shown.stderr,
            hint,
        })
    }
}

impl Rendered for JobResult {
    fn text(&self) -> String {
        let mut lines = vec![self.outcome()];
        for (name, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !output.text.is_empty() {
                lines.push(format!("--- {name}"));
                lines.push(output.text.trim_end_matches('\n').to_owned());
            }
        }
        if let Some(hint) = &self.hint {
            lines.push(format!("--- {hint}"));
        }
        lines.join("\n")
    }
}

impl JobResult {
    /// An accepted command of which no more could be read: the job as it was last seen, without output.
    pub(super) fn unread(job: &Value, used: &Used, error: &ToolError) -> Self {
        let id = text(&job["jobId"]);
        let cursor = Cursor::default().to_string();
        let output = |stream: &str| Output {
            text: String::new(),
            bytes: job[stream]["bytes"].as_u64().unwrap_or(0),
            omitted_bytes: 0,
        };
        let hints = replaced(used).into_iter().chain([format!(
            "The command was accepted, but its state or output can't be read now ({error}). Don't run it \
             again: `wait` for {id}, or `poll` it with cursor \"{cursor}\"."
        )]);
        Self {
            session: used.id.clone(),
            status: job["status"].as_str().unwrap_or("queued").to_owned(),
            exit_code: job["exitCode"].as_i64(),
            signal: job["signal"].as_i64(),
            error: JobError::of(job),
            shell: JobShell::of(job),
            stdout: output("stdout"),
            stderr: output("stderr"),
            hint: Some(hints.collect::<Vec<_>>().join(" ")),
            job: id,
            cursor,
        }
    }

    fn outcome(&self) -> String {
        let detail = match (&self.error, self.exit_code, self.signal) {
            (Some(error), _, _) => format!(": {} ({})", error.message, error.code),
            (None, Some(code), _) => format!(", exit code {code}"),
            (None, None, Some(signal)) => format!(", ended by signal {signal}"),
            (None, None, None) => String::new(),
        };
        format!("{} {}{detail}", self.job, self.status)
    }
}

impl JobError {
    fn of(job: &Value) -> Option<Self> {
        job.get("error").and_then(|error| Self::deserialize(error).ok())
    }
}

impl JobShell {
    fn of(job: &Value) -> Option<Self> {
        job.get("shell").and_then(|shell| Self::deserialize(shell).ok())
    }

    /// That the state of earlier commands is lost, if it is.
    fn hint(&self) -> Option<String> {
        let name = &self.name;
        self.has_ended.filter(|ended| *ended).map(|_| {
            format!(
                "The shell process \"{name}\" ended with this command: the next command of this name starts a \
                 new one, in the home directory and without what was set."
            )
        })
    }
}

/// That the client's earlier shell is gone, if it is.
fn replaced(used: &Used) -> Option<String> {
    let old = used.replaced.as_ref()?;
    Some(format!(
        "Your earlier shell {old} had ended, so this command ran in a new one: files and processes of the \
         earlier one are gone."
    ))
}

/// What a model can do next.
fn hint(job: &Value, shown: &Shown, used: Option<&Used>) -> Option<String> {
    let mut hints = Vec::new();
    hints.extend(used.and_then(replaced));
    hints.extend(JobShell::of(job).and_then(|shell| shell.hint()));
    if let Some(omitted) = shown.omitted {
        hints.push(format!("Read what was left out by `poll` with cursor \"{omitted}\"."));
    }
    if !is_final(job) {
        hints.push(format!(
            "The command has not ended: `wait` for it or `poll` with cursor \"{}\", or `cancel` it.",
            shown.next
        ));
    } else if shown.more {
        hints.push(format!("There is more: `poll` with cursor \"{}\".", shown.next));
    }
    (!hints.is_empty()).then(|| hints.join(" "))
}

/// The position that a cursor names.
fn position(cursor: Option<String>) -> Result<Cursor, ToolError> {
    cursor.map_or_else(|| Ok(Cursor::default()), |cursor| cursor.parse())
}

/// How long a call may wait. Seconds.
pub(super) fn wait_time(wanted: Option<u64>, default: u64) -> Result<u64, ToolError> {
    let seconds = wanted.unwrap_or(default);
    if seconds > MAX_WAIT {
        return Err(ToolError::arguments(format!("{seconds} s is more than {MAX_WAIT} s")));
    }
    Ok(seconds)
}
