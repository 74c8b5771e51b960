//! `GET /v1/sessions/{id}/processes`: what runs in a ready session's shell.
//! `POST …/processes/{pid}/signal`: sends a signal to one of these processes.
//!
//! These requests reach a shell while they are answered, as those for files do. A repeated signal is sent
//! again.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use domain::{
    JobId, SessionId, TaskId, Timestamp, UserId,
    ports::{Processes, ProcessesError},
    process::{Process, ProcessId},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    extract::{Id, Params, User, parse_id},
    fields::Fields,
    post::Post,
    problem::{Code, Problem},
    reply::Reply,
    rule::{Rule, component, timestamp},
    sessions,
    signal::signal as signal_rule,
};
use crate::Env;

/// A process of a command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Process"))]
pub(super) struct ProcessView<'a> {
    /// As the shell sees it.
    pid: i32,
    parent_pid: i32,
    /// The job whose command has started it.
    job_id: JobId,
    /// The name of its user, or the number of one without a name.
    user: &'a str,
    /// The name of its program, at most 15 bytes.
    name: &'a str,
    /// The beginning of its arguments, up to 1 KiB. Bytes that are not UTF-8 are shown as U+FFFD.
    arguments: &'a [String],
    /// Arguments are left out or cut.
    arguments_truncated: bool,
    started_at: Timestamp,
    /// CPU time that it has used.
    cpu_milliseconds: u64,
    /// Resident memory.
    memory_bytes: u64,
}

/// The processes of a shell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Processes"))]
pub(super) struct ProcessesView<'a> {
    /// In the order of their pids.
    processes: Vec<ProcessView<'a>>,
    /// There are more than the 1000 listed ones.
    truncated: bool,
}

/// The body of a request to signal a process.
pub(super) struct SignalProcessRequest {
    signal: i32,
    started_at: Option<Timestamp>,
}

/// A session and a pid in the path, on routes that need a caller. What can't be parsed names no process.
#[derive(Debug)]
pub(super) struct ProcessPath {
    session: SessionId,
    pid: i32,
}

pub(super) async fn list(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<SessionId>,
    params: Params,
) -> Result<Reply, Problem> {
    params.read_none()?;
    let (processes, task) = shell(&env, &user, id).await?;
    let list = match processes.list(&task).await {
        Ok(list) => list,
        Err(error) => return Err(problem(&env, id, error).await),
    };
    let (processes, truncated) = (list.processes.iter().map(view).collect(), list.truncated);
    Ok(Reply::ok(&ProcessesView { processes, truncated }))
}

pub(super) async fn signal(
    State(env): State<Env>,
    ProcessPath { session, pid }: ProcessPath,
    post: Post,
) -> Result<StatusCode, Problem> {
    let SignalProcessRequest { signal, started_at } = post.read_body(SignalProcessRequest::read)?;
    let (processes, task) = shell(&env, &post.user, session).await?;
    match processes.signal(&task, ProcessId { pid, started_at }, signal).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(problem(&env, session, error).await),
    }
}

impl SignalProcessRequest {
    /// Reads `{signal, startedAt?}`.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let signal = fields.required("signal", signal_rule());
        let started_at: Rule<fn(Value) -> _> = Rule::new(timestamp, || component("Time"));
        let started_at = fields.optional(
            "startedAt",
            started_at.describe(
                "As listed. If the process was started at another time, there is no such process: another \
                 one has its pid by now.",
            ),
        );
        Some(Self { signal: signal?, started_at })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProcessPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        User::from_request_parts(parts, state).await?;
        // Bytes that are not UTF-8 are neither an id nor a pid.
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (session, pid) = texts.map_or_else(|_| Default::default(), |Path(texts)| texts);
        let session = parse_id(&session)?;
        let pid = pid.parse().map_err(|_| Problem::invalid_id(&pid, "not a pid"))?;
        Ok(Self { session, pid })
    }
}

/// The way to the processes of the caller's session, which must be ready.
async fn shell(
    env: &Env,
    user: &UserId,
    id: SessionId,
) -> Result<(Arc<dyn Processes>, TaskId), Problem> {
    let ready = sessions::ready(sessions::owned(env, user, id).await?.value)?;
    let processes = env.processes.clone().ok_or_else(|| {
        let detail = "this deployment can't list or signal single processes; signal the jobs of \
                      commands, or run ps and kill as commands";
        Problem::new(Code::ProcessesUnavailable, detail)
    })?;
    Ok((processes, ready.task().clone()))
}

fn view(process: &Process) -> ProcessView<'_> {
    ProcessView {
        pid: process.pid,
        parent_pid: process.parent_pid,
        job_id: process.job,
        user: &process.user,
        name: &process.name,
        arguments: process.arguments.expose(),
        arguments_truncated: process.arguments_truncated,
        started_at: process.started_at,
        cpu_milliseconds: u64::try_from(process.cpu_time.as_millis()).unwrap_or(u64::MAX),
        memory_bytes: process.memory_bytes,
    }
}

/// The problem behind an error of a request for processes of this session.
async fn problem(env: &Env, id: SessionId, error: ProcessesError) -> Problem {
    match error {
        ProcessesError::NoSuchProcess => {
            let detail = "no command of the session has this process, or it has ended";
            Problem::new(Code::NotFound, detail)
        }
        ProcessesError::Refused(message) => Problem::new(Code::PermissionDenied, message),
        ProcessesError::TooMany => {
            let detail = "the session has as many requests for files and processes at once as this \
                          server allows";
            Problem::new(Code::TooManyRequests, detail)
        }
        ProcessesError::Interrupted => sessions::interrupted(env, id).await,
        ProcessesError::Backend(error) => error.into(),
    }
}
