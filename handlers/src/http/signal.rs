//! `POST /v1/jobs/{id}/signal`: sends a signal to a running command.

use std::time::Duration;

use axum::{extract::State, response::Response};
use domain::{JobId, job::Job, message::Message};
use serde_json::Value;

use super::{
    cancel::commands_only,
    extract::Id,
    fields::{self, Wrong, whole},
    jobs,
    post::{Plan, Post},
    problem::{Code, Problem},
    reply::Reply,
};
use crate::{Env, view};

/// Linux's signals by number, from 1 (`signal(7)`, the numbers of x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

pub(super) async fn handle(
    State(env): State<Env>,
    Id(id): Id<JobId>,
    post: Post,
) -> Result<Response, Problem> {
    let signal = fields::object(post.body.expose(), |fields| fields.required("signal", signal))?;
    let mut rounds = post.rounds(&env);
    loop {
        let job = jobs::owned(&env, &post.user, id).await?.value;
        commands_only(&job)?;
        if !matches!(job, Job::Running(_)) {
            let detail = format!("the job is not running: it is {}", job.status().name());
            return Err(Problem::new(Code::JobNotRunning, detail));
        }
        // No record asks for a signal, so a lost message would not be made good: it goes first.
        env.queue.send(&Message::SignalJob { job: id, signal }, Duration::ZERO).await?;
        let reply = Reply::accepted(id, &view::job(&job));
        let plan = Plan { batch: None, bells: Vec::new(), reply };
        if let Some(response) = rounds.write(plan).await? {
            return Ok(response);
        }
    }
}

/// A signal's name, with or without `SIG`, or its number.
fn signal(value: Value) -> Result<i32, Wrong> {
    let number = match value.as_str() {
        Some(name) => by_name(name),
        None => whole(1..=31)(value).ok().and_then(|number| i32::try_from(number).ok()),
    };
    number.ok_or_else(|| {
        Wrong::new("must be the name or the number of a signal, such as \"TERM\" or 15")
    })
}

fn by_name(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    (1..).zip(NAMES).find(|(_, known)| *known == name).map(|(number, _)| number)
}
