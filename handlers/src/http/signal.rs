//! `POST /v1/jobs/{id}/signal`: sends a signal to a running command.

use std::{ops::RangeInclusive, time::Duration};

use axum::{extract::State, response::Response};
use domain::{JobId, job::Job, message::Message};
use serde_json::{Value, json};

use super::{
    cancel::commands_only,
    extract::Id,
    fields::Fields,
    jobs,
    post::Post,
    problem::{Code, Problem},
    rule::{FieldError, Rule, integer},
};
use crate::Env;

/// Linux's signals by number, from 1 (`signal(7)`, the numbers of x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

const NUMBERS: RangeInclusive<u64> = 1..=31;

/// The body of a signal request.
pub(super) struct SignalRequest {
    signal: i32,
}

pub(super) async fn handle(
    State(env): State<Env>,
    Id(id): Id<JobId>,
    post: Post,
) -> Result<Response, Problem> {
    let SignalRequest { signal } = post.read_body(SignalRequest::read)?;
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let job = jobs::owned(&env, &post.user, id).await?.value;
        commands_only(&job)?;
        if !matches!(job, Job::Running(_)) {
            let detail = format!("the job is not running: it is {}", job.status().name());
            return Err(Problem::new(Code::JobNotRunning, detail));
        }
        // No record holds a signal, so the sweep could not replace a lost message: send it before the
        // request is accepted.
        env.queue.send(&Message::SignalJob { job: id, signal }, Duration::ZERO).await?;
        if let Some(response) = attempts.accept_unchanged(&job).await? {
            return Ok(response);
        }
    }
}

impl SignalRequest {
    /// Reads `{signal}`.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { signal: fields.required("signal", signal())? })
    }
}

/// A signal's name, with or without `SIG`, or its number.
pub(super) fn signal() -> Rule<impl Fn(Value) -> Result<i32, FieldError>> {
    let read = |value: Value| {
        let number = match value.as_str() {
            Some(name) => by_name(name),
            None => (integer(NUMBERS).read)(value).ok().and_then(|n| i32::try_from(n).ok()),
        };
        let detail = "must be the name or the number of a signal, such as \"TERM\" or 15";
        number.ok_or_else(|| FieldError::new(detail))
    };
    Rule::new(read, || {
        let name = json!({
            "type": "string",
            "pattern": format!("^(SIG)?({})$", NAMES.join("|")),
            "description": "A name, with or without SIG.",
        });
        json!({"anyOf": [name, integer(NUMBERS).schema]})
    })
}

fn by_name(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    (1..).zip(NAMES).find(|(_, known)| *known == name).map(|(number, _)| number)
}
