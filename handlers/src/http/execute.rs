//! `POST /v1/shell/execute`: accepts a command for a session, ready or not.

use std::time::Duration;

use axum::{extract::State, response::Response};
use domain::{
    JobId, Secret, SessionId,
    command::{Command, Concurrency},
    job::Work,
    message::Message,
    ports::Write,
    session::Session,
};
use serde_json::Value;

use super::{
    accepted::Accepted,
    command,
    fields::{self, Fields, Wrong, flag, string, whole, word},
    post::{Plan, Post},
    problem::{Code, Problem},
    sessions,
    start::{self, DEFAULT_OUTPUT},
};
use crate::{Env, Policy, notification, outbox::Batch};

const DEFAULT_TIMEOUT: u64 = 600;
/// The most that can be kept of a stream. Bytes.
const MAX_OUTPUT: u64 = 8 * 1024 * 1024;

/// What the caller wants.
struct Wish {
    session: String,
    command: Command,
    only_if_ready: bool,
}

pub(super) async fn handle(State(env): State<Env>, post: Post) -> Result<Response, Problem> {
    let wish = fields::object(post.body.expose(), read)?;
    let id: SessionId = wish.session.parse().map_err(|_| Problem::not_found("session"))?;
    let job = JobId::from_ulid(env.ids.ulid());
    let mut rounds = post.rounds(&env);
    loop {
        let session = sessions::owned(&env, &post.user, id).await?.value;
        let ready = matches!(session, Session::Ready(_));
        check(&session, wish.only_if_ready)?;
        let work = Work::Execute(Box::new(wish.command.clone()));
        let job = start::job(&post.user, id, job, work, env.now());
        let batch = Batch::default().write(Write::RequireOpen(id)).write(start::new(&job));
        let bells = if ready { vec![Message::RunJob { session: id }] } else { Vec::new() };
        let plan = Plan { reply: Accepted::of(&job).reply(), batch: Some(batch), bells };
        if let Some(response) = rounds.write(plan).await? {
            if !ready {
                ring_if_ready(&env, id).await;
            }
            return Ok(response);
        }
    }
}

/// Readiness rings for the jobs that it finds. If it came between our read and our write, it did not
/// find this one.
async fn ring_if_ready(env: &Env, id: SessionId) {
    if let Ok(Some(read)) = env.store.session(id).await
        && matches!(read.value, Session::Ready(_))
    {
        notification::send(env, Message::RunJob { session: id }, Duration::ZERO).await;
    }
}

fn check(session: &Session, only_if_ready: bool) -> Result<(), Problem> {
    if matches!(session, Session::Stopping(_) | Session::Ended(_)) {
        return Err(sessions::ended(session));
    }
    if !session.is_open() {
        let detail = "the session takes no more jobs; it ends once those it has are done";
        return Err(Problem::new(Code::SessionDraining, detail));
    }
    if only_if_ready && !matches!(session, Session::Ready(_)) {
        return Err(sessions::not_ready(session));
    }
    Ok(())
}

fn read(fields: &mut Fields<'_>) -> Option<Wish> {
    let session = fields.required("sessionId", string);
    let program = fields.required("command", command::program);
    let cwd = fields.optional("cwd", command::cwd);
    let env = fields.optional("env", command::env);
    let user = fields.optional("user", command::user);
    let stdin = fields.optional("stdin", command::stdin);
    let timeout = fields.optional("timeoutSeconds", whole(1..=Policy::MAX_TTL.as_secs()));
    let only_if_ready = fields.optional("ifNotReady", word(&[("queue", false), ("reject", true)]));
    let modes = [("serial", Concurrency::Serial), ("parallel", Concurrency::Parallel)];
    let concurrency = fields.optional("concurrency", word(&modes));
    let max_output_bytes = fields.optional("maxOutputBytes", whole(0..=MAX_OUTPUT));
    fields.optional("interactive", interactive);
    let command = Command {
        program: Secret::new(program?),
        cwd: cwd.map(Secret::new),
        env: Secret::new(env.unwrap_or_default()),
        user,
        stdin: Secret::new(stdin.unwrap_or_default()),
        timeout: Duration::from_secs(timeout.unwrap_or(DEFAULT_TIMEOUT)),
        concurrency: concurrency.unwrap_or(Concurrency::Serial),
        max_output_bytes: max_output_bytes.unwrap_or(DEFAULT_OUTPUT),
    };
    Some(Wish { session: session?, command, only_if_ready: only_if_ready.unwrap_or_default() })
}

fn interactive(value: Value) -> Result<(), Wrong> {
    if flag(value)? {
        return Err(Wrong::new("can't be true: this deployment opens no terminals yet"));
    }
    Ok(())
}
