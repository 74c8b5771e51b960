//! `run`: runs a command line.

use std::collections::BTreeMap;

use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Arguments, Tools,
    job::{JobResult, wait_time},
    parse, set, text,
};
use crate::{
    error::ToolError,
    follow::{Call, is_final},
    output::{Cursor, Selection},
    own_shell::Used,
};

pub(super) const ABOUT: &str = "Run a command line in an isolated shell. Without `session`, it is your own \
    shell, which starts at the first use, keeps its files from one call to the next and ends with this \
    connection. Each command is a process of its own: the working directory and variables of one are not \
    those of the next, unless both have the same `shellName`. Returns when the command has ended or after `yieldSeconds`, with the id of the \
    command, its status and its output so far; a command that has not ended runs on, and `wait`, `poll` \
    and `cancel` take its id. Cancelling this call ends the wait only; the command runs on. Long output is \
    shortened in the middle, and the result says how to read the rest.";

const DEFAULT_YIELD: u64 = 10;

/// The arguments of `run`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    /// A command line of bash, or of sh where there is no bash.
    command: String,
    /// The shell in which it runs (sh_...). Default: your own.
    session: Option<String>,
    /// The program that reads the command line: "bash" or "sh".
    shell: Option<String>,
    /// A name of yours, such as "main": commands with the same one run one after the other in the same shell
    /// process, which keeps the working directory, variables, functions and background processes. `cwd`,
    /// `env`, `shell` and `background` can't be given with it: use cd and export. Default: a process of its
    /// own for this command.
    shell_name: Option<String>,
    /// An absolute path. Default: the home directory.
    cwd: Option<String>,
    /// Environment variables of this command.
    env: Option<BTreeMap<String, String>>,
    /// Text for its standard input, at most 128 KiB.
    stdin: Option<String>,
    /// When the command is ended: 1 to 28800 seconds. Default: 600.
    timeout_seconds: Option<u64>,
    /// How long this call waits for the end of the command: 0 to 300 seconds. Default: 10.
    yield_seconds: Option<u64>,
    /// Keep what the command leaves running, for example a server. Default: false, all of it is ended with
    /// the command.
    background: Option<bool>,
}

impl Tools {
    pub(super) async fn run(
        &self,
        arguments: Arguments,
        call: &Call,
    ) -> Result<JobResult, ToolError> {
        let mut run: Run = parse(arguments)?;
        let most = wait_time(run.yield_seconds, DEFAULT_YIELD)?;
        let session = run.session.take();
        let body = run.body();
        let execute = |session: String| {
            let mut body = body.clone();
            body.insert("sessionId".to_owned(), session.into());
            let path = format!("/shell/execute?waitSeconds={}", call.next_wait(most));
            async move { self.api.post(&path, &body.into()).await }
        };
        let (job, used) = self.own.within(session, execute).await?;
        Ok(self.accepted(job, &used, call, most).await)
    }

    /// The result of a command that the server has accepted. Whatever fails from here on, the result has the
    /// id of the command, because a client that does not know it runs the command again.
    async fn accepted(&self, mut job: Value, used: &Used, call: &Call, most: u64) -> JobResult {
        let shown = async {
            if !is_final(&job) {
                job = call.follow(&self.api, &text(&job["jobId"]), most).await?;
            }
            self.job_result(&job, Cursor::default(), Selection::Ends, Some(used)).await
        };
        match shown.await {
            Ok(result) => result,
            Err(error) => JobResult::unread(&job, used, &error),
        }
    }
}

impl Run {
    /// The body of the request, without the session.
    fn body(self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("command".to_owned(), self.command.into());
        set(&mut body, "shell", self.shell);
        set(&mut body, "state", self.shell_name.as_ref().map(|_| "shared"));
        set(&mut body, "shellName", self.shell_name);
        set(&mut body, "cwd", self.cwd);
        set(&mut body, "env", self.env.map(|env| json!(env)));
        set(&mut body, "stdin", self.stdin);
        set(&mut body, "timeoutSeconds", self.timeout_seconds);
        set(&mut body, "background", self.background);
        body
    }
}
