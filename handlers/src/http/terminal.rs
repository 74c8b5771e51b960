//! `POST /v1/sessions/{id}/terminal`: opens a terminal in a session, ready or not.
//! `POST /v1/jobs/{id}/terminal`: lets another client, or the same one again, open a job's terminal.

use std::time::Duration;

use axum::{extract::State, response::Response};
use domain::{
    JobId, Secret, SessionId,
    command::{Command, Concurrency, Keep, Program, Terminal},
    job::Job,
    message::Message,
    ports::{CommitError, Expect, Versioned, Write},
};

use super::{
    command,
    execute::{self, IfNotReady},
    extract::Id,
    fields::Fields,
    jobs,
    post::Post,
    problem::{Code, Problem},
    rule::{FieldError, boolean, integer},
};
use crate::{Env, Policy};

/// The size of a terminal unless the request says otherwise, in characters.
const DEFAULT_COLS: u16 = 80;
const DEFAULT_ROWS: u16 = 24;
/// The largest width, and height, in characters.
const MAX_SIDE: u64 = 1000;
/// How much of a terminal's output is kept for those who open it again. Bytes.
const KEPT_OUTPUT: u64 = 256 * 1024;

/// The fields of a command that have no meaning on a terminal: its clients type its input, and its output is
/// kept for those who open it again.
const OF_PIPES: [&str; 8] =
    ["stdin", "maxOutputBytes", "keep", "merge", "concurrency", "background", "state", "shellName"];
/// The fields that only a terminal has.
const OF_TERMINALS: [&str; 4] = ["cols", "rows", "idleSeconds", "record"];

/// What a terminal asks for.
pub(super) struct TerminalRequest {
    command: Command,
}

pub(super) async fn open(
    State(env): State<Env>,
    Id(id): Id<SessionId>,
    post: Post,
) -> Result<Response, Problem> {
    let TerminalRequest { command } = post.read_body(TerminalRequest::read)?;
    execute::accept_command(&env, &post, id, &command, IfNotReady::Queue).await
}

/// Has another data channel made to the terminal of a running job.
pub(super) async fn reopen(
    State(env): State<Env>,
    Id(id): Id<JobId>,
    post: Post,
) -> Result<Response, Problem> {
    post.read_empty_body()?;
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let Versioned { value: job, version } = jobs::owned(&env, &post.user, id).await?;
        if job.command().is_none_or(|command| command.terminal.is_none()) {
            return Err(Problem::new(Code::NotATerminal, "the job has no terminal"));
        }
        match &job {
            // The terminal of a queued job is opened as soon as its command runs.
            Job::Queued(_) => {}
            // A waiting client must not read a permission from before its request.
            Job::Running(running) if running.access(env.now()).is_some() => {
                let job = Box::new(running.clone().without_access().into());
                match env.store.commit(vec![Write::Job(job, Expect::At(version))]).await {
                    Ok(()) | Err(CommitError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            // No record holds the request, so the sweep could not replace a lost message: send it before
            // the request is accepted.
            Job::Running(_) => {
                env.queue.send(&Message::OpenTerminal { job: id }, Duration::ZERO).await?;
            }
            Job::Finished(_) => {
                let detail = format!("the terminal is closed: the job is {}", job.status().name());
                return Err(Problem::new(Code::JobFinished, detail));
            }
        }
        if let Some(response) = attempts.accept_unchanged(&job).await? {
            return Ok(response);
        }
    }
}

impl TerminalRequest {
    /// Reads the body.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let terminal = read_terminal(fields);
        let program = command::program().describe("The user's login shell if absent.");
        let program = fields.optional("command", program).unwrap_or(Program::LoginShell);
        let cwd = command::cwd().describe("The user's home if absent.");
        let cwd = fields.optional("cwd", cwd).map(Secret::new);
        let env = fields.optional("env", command::env().describe("On top of the session's."));
        let user = fields.optional("user", command::user());
        let timeout = integer(1..=Policy::MAX_TTL.as_secs());
        let timeout = fields.with_default("timeoutSeconds", timeout, Policy::MAX_TTL.as_secs());
        let command = Command {
            cwd,
            env: Secret::new(env.unwrap_or_default()),
            user,
            ..Command::new(program, Duration::from_secs(timeout), KEPT_OUTPUT)
        };
        Some(Self { command: on(terminal, command, true) })
    }
}

/// Reads the fields by which an execute asks for a terminal; none if it does not.
pub(super) fn read_interactive(fields: &mut Fields<'_>) -> Option<Terminal> {
    let interactive = boolean().describe(
        "Run the command, or without one the user's login shell, on a terminal. The job has the type \
         terminal then.",
    );
    let interactive = fields.with_default("interactive", interactive, false);
    let (misplaced, detail): (&[&str], &str) = if interactive {
        (&OF_PIPES, "must be absent if interactive is true: it has no meaning on a terminal")
    } else {
        (&OF_TERMINALS, "must be absent unless interactive is true")
    };
    for name in misplaced {
        if fields.has(name) {
            fields.report(FieldError::new(detail).below(name));
        }
    }
    let terminal = read_terminal(fields);
    interactive.then_some(terminal)
}

fn read_terminal(fields: &mut Fields<'_>) -> Terminal {
    let side = |description: &str| integer(1..=MAX_SIDE).describe(description);
    let cols = fields.with_default("cols", side("Width of the terminal."), DEFAULT_COLS.into());
    let rows = fields.with_default("rows", side("Height of the terminal."), DEFAULT_ROWS.into());
    let idle = integer(1..=Policy::MAX_TTL.as_secs()).describe(
        "End the command after so long without a client. The session's idle timeout if absent.",
    );
    let idle = fields.optional("idleSeconds", idle).map(Duration::from_secs);
    let record = boolean().describe(
        "Record what the terminal shows, up to 4 MiB, as an asciicast of version 2. What is typed is not \
         recorded, but programs show most of it.",
    );
    let record = fields.with_default("record", record, false);
    let side = |value| u16::try_from(value).unwrap_or(u16::MAX);
    Terminal { cols: side(cols), rows: side(rows), idle, record }
}

/// The command on a terminal: it waits for no other command, what it starts in the background stays,
/// and it may run as long as its session unless a timeout was given.
pub(super) fn on(terminal: Terminal, command: Command, has_timeout: bool) -> Command {
    Command {
        timeout: if has_timeout { command.timeout } else { Policy::MAX_TTL },
        concurrency: Concurrency::Parallel,
        max_output_bytes: KEPT_OUTPUT,
        keep: Keep::Tail,
        background: true,
        terminal: Some(terminal),
        ..command
    }
}

/// The command, which ends without a client after the session's idle timeout unless the request says
/// otherwise: a terminal that nobody uses would keep its session busy.
pub(super) fn with_idle_timeout(mut command: Command, idle_timeout: Option<Duration>) -> Command {
    if let Some(terminal) = &mut command.terminal {
        terminal.idle = terminal.idle.or(idle_timeout);
    }
    command
}
