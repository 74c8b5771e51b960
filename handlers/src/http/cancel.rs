//! `POST /v1/jobs/{id}/cancel`: cancels a queued command, or asks the worker to end a running one.

use axum::{extract::State, response::Response};
use domain::{
    JobId,
    job::{Job, Outcome, Status},
    message::Message,
    ports::{Expect, Versioned, Write},
};

use super::{
    extract::Id,
    jobs,
    post::{Plan, Post},
    problem::{Code, Problem},
    reply::Reply,
};
use crate::{Env, outbox::Batch, view};

pub(super) async fn handle(
    State(env): State<Env>,
    Id(id): Id<JobId>,
    post: Post,
) -> Result<Response, Problem> {
    post.read_empty_body()?;
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let plan = plan(&env, jobs::owned(&env, &post.user, id).await?)?;
        if let Some(response) = attempts.commit(plan).await? {
            return Ok(response);
        }
    }
}

fn plan(env: &Env, read: Versioned<Job>) -> Result<Plan, Problem> {
    let Versioned { value: job, version } = read;
    commands_only(&job)?;
    let (id, session) = (job.id(), job.common().session);
    let (job, notification): (Job, _) = match job {
        Job::Queued(job) => {
            let outcome = Outcome::Cancelled { exit: None, failure: None };
            // Later jobs may have waited for this one's turn, and a draining session for its last job.
            (job.end(outcome, env.now()).into(), Message::RunJob { session })
        }
        Job::Running(job) => (job.request_cancel(env.now()).into(), Message::CancelJob { job: id }),
        Job::Finished(_) if job.status() == Status::Cancelled => {
            let (notifications, reply) = (Vec::new(), reply(&job));
            return Ok(Plan { session, essential: true, batch: None, notifications, reply });
        }
        Job::Finished(_) => {
            let detail = format!("the job is already finished: {}", job.status().name());
            return Err(Problem::new(Code::JobFinished, detail));
        }
    };
    let reply = reply(&job);
    let write = Write::Job(Box::new(job), Expect::At(version));
    Ok(Plan {
        session,
        essential: true,
        batch: Some(Batch::default().write(write)),
        notifications: vec![notification],
        reply,
    })
}

fn reply(job: &Job) -> Reply {
    Reply::accepted(job.id(), &view::job(job))
}

/// Refuses start and stop jobs, which have no process.
pub(super) fn commands_only(job: &Job) -> Result<(), Problem> {
    if job.command().is_some() {
        return Ok(());
    }
    let detail =
        "only the job of a command can be cancelled or signalled; stop the session instead";
    Err(Problem::new(Code::NotACommand, detail))
}
