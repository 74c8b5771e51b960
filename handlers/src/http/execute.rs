//! `POST /v1/shell/execute`: accepts a command for a session, ready or not.

use std::time::Duration;

use axum::{extract::State, response::Response};
use domain::{
    JobId, Secret, SessionId, UserId,
    command::{Command, Concurrency, Keep, Program, ShellName},
    job::Work,
    message::Message,
    ports::{Expect, Write},
    session::Session,
};
use serde::Serialize;
use serde_json::json;

use super::{
    accepted::Accepted,
    command,
    extract::{Params, User, parse_id},
    fields::Fields,
    post::{Plan, Post},
    problem::{Code, Problem},
    rule::{FieldError, boolean, id, integer, one_of},
    sessions, shared_shell,
    start::{self, DEFAULT_OUTPUT},
    terminal, wait,
};
use crate::{Env, Policy, notification, outbox::Batch, run_job};

/// How long a command may run unless the request says otherwise. Seconds.
const DEFAULT_TIMEOUT: u64 = 600;
/// The most that can be stored of stdout, and of stderr. Bytes.
const MAX_OUTPUT: u64 = 8 * 1024 * 1024;

/// What an execute asks for.
pub(super) struct ExecuteRequest {
    session: String,
    command: Command,
    if_not_ready: IfNotReady,
}

/// What becomes of a command whose session is not ready yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IfNotReady {
    Queue,
    Reject,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    params: Params,
    post: Result<Post, Response>,
) -> Result<Response, Problem> {
    wait::accept_and_wait(&env, &user, params, post, accept).await
}

async fn accept(env: &Env, post: &Post) -> Result<Response, Problem> {
    let request = post.read_body(ExecuteRequest::read)?;
    let id: SessionId = parse_id(&request.session)?;
    accept_command(env, post, id, &request.command, request.if_not_ready).await
}

/// Accepts a command of this session, unless the session refuses it.
pub(super) async fn accept_command(
    env: &Env,
    post: &Post,
    id: SessionId,
    command: &Command,
    if_not_ready: IfNotReady,
) -> Result<Response, Problem> {
    command::check_user(command.user.as_deref(), &env.policy)?;
    if let Some(reason) =
        env.policy.refused_terminals.as_ref().filter(|_| command.terminal.is_some())
    {
        let detail = format!("terminals can't be opened: {reason}");
        return Err(Problem::new(Code::TerminalsDenied, detail));
    }
    let job = JobId::from_ulid(env.ids.ulid());
    let mut attempts = post.retry_on_conflict(env);
    let mut may_claim = true;
    loop {
        let (session, is_idle) = read_session(env, &post.user, id).await?;
        let ready = matches!(session, Session::Ready(_));
        check(&session, if_not_ready)?;
        let command =
            terminal::with_idle_timeout(command.clone(), session.common().spec.idle_timeout);
        let work = Work::Execute(Box::new(command));
        let job = start::job(&post.user, id, job, work, env.now());
        // A second attempt leaves the job to a worker, which knows what else is to be run.
        let may_claim = std::mem::take(&mut may_claim) && ready && is_idle;
        let claimed = if may_claim { run_job::claim_new(env, &job) } else { None };
        let mut batch = Batch::default().write(Write::RequireOpen(id));
        batch = match &claimed {
            Some(claimed) => run_job::write_claim(env, batch, claimed, Expect::New, true),
            None => batch.write(start::insert(&job)),
        };
        if let Some(limits) = env.policy.queue {
            let bytes = post.size();
            batch = batch.write(Write::RequireQueueRoom { session: id, bytes, limits });
        }
        let (reply, batch) = (Accepted::of(&job).reply(), Some(batch));
        let plan = Plan { session: id, essential: false, batch, notifications: Vec::new(), reply };
        let mut to_post = None;
        let call_worker = || match claimed {
            Some(claimed) if env.policy.posts_commands => {
                to_post = Some(claimed);
                Vec::new()
            }
            Some(claimed) => vec![run_job::leave_claim(env, claimed)],
            None if ready => vec![Message::RunJob { session: id }],
            None => Vec::new(),
        };
        if let Some(response) = attempts.commit_then(plan, call_worker).await? {
            if let Some(claimed) = to_post {
                run_job::post_claimed(env, session, claimed).await;
            }
            if !ready {
                notify_if_ready(env, id).await;
            }
            return Ok(response);
        }
    }
}

/// The caller's session, and whether a new command may be claimed at once, because the session has no other one.
async fn read_session(env: &Env, user: &UserId, id: SessionId) -> Result<(Session, bool), Problem> {
    if !run_job::claims_when_accepted(env) {
        return Ok((sessions::owned(env, user, id).await?.value, false));
    }
    let read = env.store.session_with_open_jobs(id).await?;
    let read = read.filter(|(session, _)| session.value.user() == user);
    let (session, has_open) = read.ok_or_else(|| Problem::not_found("session", id))?;
    Ok((session.value, !has_open))
}

/// Sends the notification of a session that became ready between the read and the commit of this
/// request. The session's own notification may have been handled before this job was written.
async fn notify_if_ready(env: &Env, id: SessionId) {
    if let Ok(Some(read)) = env.store.session(id).await
        && matches!(read.value, Session::Ready(_))
    {
        notification::send(env, Message::RunJob { session: id }, Duration::ZERO).await;
    }
}

fn check(session: &Session, if_not_ready: IfNotReady) -> Result<(), Problem> {
    if matches!(session, Session::Stopping(_) | Session::Ended(_)) {
        return Err(sessions::ended(session));
    }
    if !session.is_open() {
        let detail = "the session accepts no more jobs: it ends after those it has";
        return Err(Problem::new(Code::SessionDraining, detail));
    }
    if if_not_ready == IfNotReady::Reject && !matches!(session, Session::Ready(_)) {
        return Err(sessions::not_ready(session));
    }
    Ok(())
}

impl ExecuteRequest {
    /// Reads the body.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let session = fields.required("sessionId", id("SessionId"));
        let terminal = terminal::read_interactive(fields);
        let shared_shell = shared_shell::read(fields, terminal.is_some());
        let program = command(fields, terminal.is_some());
        let cwd = command::cwd().describe("The user's home if absent.");
        let cwd = fields.optional("cwd", cwd).map(Secret::new);
        let env = fields.optional("env", command::env().describe("On top of the session's."));
        let user = fields.optional("user", command::user());
        let stdin = fields.optional("stdin", command::stdin());
        let given_timeout = fields.has("timeoutSeconds");
        let timeout = integer(1..=Policy::MAX_TTL.as_secs());
        let timeout = fields.with_default("timeoutSeconds", timeout, DEFAULT_TIMEOUT);
        let if_not_ready = one_of(&[IfNotReady::Queue, IfNotReady::Reject]);
        let if_not_ready = fields.with_default("ifNotReady", if_not_ready, IfNotReady::Queue);
        let concurrency = one_of(&Concurrency::ALL);
        let concurrency = fields.with_default("concurrency", concurrency, Concurrency::Serial);
        let output =
            integer(0..=MAX_OUTPUT).describe("How much of stdout, and of stderr, is stored.");
        let max_output_bytes = fields.with_default("maxOutputBytes", output, DEFAULT_OUTPUT);
        let keep = one_of(&Keep::ALL).describe(
            "What is stored of longer output: its first and its last half of maxOutputBytes, its \
             beginning, or its end. What is kept of the end is stored when the command has ended.",
        );
        let keep = fields.with_default("keep", keep, Keep::Both);
        let merge = boolean().describe(
            "Whether stdout has what is written to stderr, too, in the order of the writes, and stderr is \
             empty.",
        );
        let merge = fields.with_default("merge", merge, false);
        let marks = boolean().describe(
            "Of merged output: whether marks tell which part was written to which stream, unless the state is \
             shared. If false, stdout and stderr are one pipe, as by 2>&1; if true, two that have room for one write.",
        );
        let marks = fields.with_default("marks", marks, true);
        let shell = one_of(&ShellName::ALL).describe(
            "The shell of a command line. If absent, bash where the image has it, else sh.",
        );
        let shell = fields.optional("shell", shell);
        fields.constrain(|| {
            let line = json!({"properties": {"command": {"type": "string"}}});
            json!({"dependentSchemas": {"shell": line}})
        });
        if shell.is_some() && matches!(program, Some(Program::Argv(_))) {
            let detail = "must be absent: an array of a program and its arguments has no shell";
            fields.report(FieldError::new(detail).below("shell"));
        }
        let background = boolean().describe(
            "Whether processes that the command leaves running stay; otherwise they are killed.",
        );
        let background = fields.with_default("background", background, false);
        if shared_shell.is_some() {
            shared_shell::check(fields, program.as_ref(), concurrency);
        }
        let command = Command {
            program: Secret::new(program?),
            cwd,
            env: Secret::new(env.unwrap_or_default()),
            user,
            stdin: Secret::new(stdin.unwrap_or_default()),
            timeout: Duration::from_secs(timeout),
            concurrency,
            max_output_bytes,
            keep,
            merge,
            marks,
            shell,
            background: background || shared_shell.is_some(),
            shared_shell,
            terminal: None,
            files: None,
        };
        let command = match terminal {
            Some(terminal) => terminal::on(terminal, command, given_timeout),
            None => command,
        };
        Some(Self { session: session?, command, if_not_ready })
    }
}

/// The command; only a terminal may have none, and runs the user's login shell then.
fn command(fields: &mut Fields<'_>, may_be_absent: bool) -> Option<Program> {
    // Generators of types understand no alternatives of required fields, and leave this out.
    fields.constrain(|| {
        let no_terminal = json!({"not": {"required": ["interactive"]}});
        json!({"if": no_terminal, "then": {"required": ["command"]}})
    });
    if may_be_absent && !fields.has("command") {
        return Some(Program::LoginShell);
    }
    if !fields.has("command") {
        fields.report(FieldError::new("is required").below("command"));
    }
    fields.optional("command", command::program())
}
