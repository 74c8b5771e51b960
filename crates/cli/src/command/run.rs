//! `run [--] CMD`: starts a shell, runs one command in it and stops it.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{
    Context, attach, body, events,
    foreground::{FinishedJob, follow, report},
    start::{require_completed, wait_until_final},
    up,
};
use crate::{
    args::{Isolation, Run},
    client::{Client, read},
    embedded::Embedded,
    error::CliError,
    find_server,
    interrupt::Interrupt,
    timeline::{self, Row},
    view::Accepted,
};

/// When the shell ends by itself if this program was killed: after so many seconds without a command and
/// without a client at its terminal.
const ABANDONED_AFTER: u64 = 120;

pub(super) async fn run(context: &Context, args: Run) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let on_terminal = args.tty || args.interactive;
    let mut execute = body::command(args.command)?;
    if on_terminal {
        execute.insert("interactive".into(), true.into());
        attach::set_size(&mut execute);
    }
    let mut start = body::start(args.shell);
    body::set(&mut start, "files", body::files(&args.files.files)?);
    start.insert("idleTimeoutSeconds".into(), ABANDONED_AFTER.into());
    let one_command = OneCommand { start, execute, on_terminal, timeline: args.timeline };
    let finished = match find_server::find(&context.global)? {
        Some(address) => one_command.run(context, &Client::new(address)?, &mut interrupt).await,
        None => without_server(context, &args.isolation, one_command, &mut interrupt).await,
    }?;
    report(context, &finished)
}

/// Runs the command on a temporary server, which is stopped whatever happened.
async fn without_server(
    context: &Context,
    isolation: &Isolation,
    mut one_command: OneCommand,
    interrupt: &mut Interrupt,
) -> Result<FinishedJob, CliError> {
    up::log(&std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()))?;
    // The temporary server has only the image that it is started with.
    let image = one_command.start.remove("image").and_then(|path| Some(path.as_str()?.into()));
    let server = Embedded::start(isolation, image).await?;
    let result = async {
        let client = Client::new(server.address()?)?;
        one_command.run(context, &client, interrupt).await
    }
    .await;
    let stopped = server.stop().await;
    result.and_then(|finished| stopped.map(|()| finished))
}

/// A session that runs one command.
pub(super) struct OneCommand {
    start: Map<String, Value>,
    execute: Map<String, Value>,
    on_terminal: bool,
    timeline: bool,
}

impl OneCommand {
    /// Runs this shell command line with the default options.
    pub(super) fn new(line: &str) -> Self {
        let mut execute = Map::new();
        execute.insert("command".into(), line.into());
        Self { start: Map::new(), execute, on_terminal: false, timeline: false }
    }

    /// Starts the session, runs the command and stops the session.
    pub(super) async fn run(
        self,
        context: &Context,
        client: &Client,
        interrupt: &mut Interrupt,
    ) -> Result<FinishedJob, CliError> {
        let (timeline, on_terminal) = (self.timeline, self.on_terminal);
        let started = client.post("/shell/start", &self.start.into()).await?;
        let session = read::<Accepted>(&started)?.session_id;
        let result = match submit(client, &session, self.execute).await {
            Ok(job) if on_terminal => attach::run(context, client, &job, interrupt).await,
            Ok(job) => follow(context, client, &job, interrupt).await,
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(CliError::is_transient) {
            // The server does not respond, so a stop can't reach it. A draining session ends by itself.
            return result;
        }
        let stopped = stop(context, client, &session).await;
        let finished = result?;
        stopped?;
        if timeline {
            print_timeline(context, client, &session, &finished.job).await?;
        }
        Ok(finished)
    }
}

/// Sends the command and returns the id of its job.
async fn submit(
    client: &Client,
    session: &str,
    execute: Map<String, Value>,
) -> Result<String, CliError> {
    send(client, session, execute).await.map_err(|error| {
        if error.is_transient() {
            error.hint(format!("`ephemeral stop {session}` stops its shell"))
        } else {
            error
        }
    })
}

async fn send(
    client: &Client,
    session: &str,
    mut execute: Map<String, Value>,
) -> Result<String, CliError> {
    execute.insert("sessionId".into(), session.into());
    // The session runs only this command, so that its id identifies the request.
    let accepted = client.post_with_key("/shell/execute", &execute.into(), session).await?;
    let accepted: Accepted = read(&accepted)?;
    // A draining session ends with its command, even if this process is killed.
    let drain = json!({"sessionId": session, "drain": true});
    client.post_idempotent("/shell/stop", &drain).await?;
    Ok(accepted.job_id)
}

async fn stop(context: &Context, client: &Client, session: &str) -> Result<(), CliError> {
    let request = json!({"sessionId": session});
    let stop: Accepted = read(&client.post_idempotent("/shell/stop", &request).await?)?;
    let spinner = context.terminal.spinner("stopping");
    let stopped = wait_until_final(client, &stop.job_id, &spinner).await?;
    require_completed(&stopped, "the shell was not stopped")
}

async fn print_timeline(
    context: &Context,
    client: &Client,
    session: &str,
    job: &Value,
) -> Result<(), CliError> {
    let entries = events::entries(client, session, 0).await?;
    let mut rows = events::rows(&entries)?;
    rows.extend(Row::of_job(&read(job)?));
    context.terminal.message(&timeline::table(&rows));
    Ok(())
}
