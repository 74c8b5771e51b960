//! `POST /v1/jobs/{id}/cancel`: a queued command never runs, a running one is ended.

use axum::{extract::State, response::Response};
use domain::{
    JobId,
    job::{Job, Outcome, Status},
    message::Message,
    ports::{Expect, Versioned, Write},
};

use super::{
    extract::Id,
    fields, jobs,
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
    fields::object(post.body.expose(), |_| Some(()))?;
    let mut rounds = post.rounds(&env);
    loop {
        let plan = plan(&env, jobs::owned(&env, &post.user, id).await?)?;
        if let Some(response) = rounds.write(plan).await? {
            return Ok(response);
        }
    }
}

fn plan(env: &Env, read: Versioned<Job>) -> Result<Plan, Problem> {
    let Versioned { value: job, version } = read;
    commands_only(&job)?;
    let (id, session) = (job.id(), job.common().session);
    let (job, bell): (Job, _) = match job {
        Job::Queued(job) => {
            let outcome = Outcome::Cancelled { exit: None, failure: None };
            // Those behind it may have waited for it, and a draining session for the last of them.
            (job.end(outcome, env.now()).into(), Message::RunJob { session })
        }
        Job::Running(job) => (job.request_cancel(env.now()).into(), Message::CancelJob { job: id }),
        Job::Finished(_) if job.status() == Status::Cancelled => {
            return Ok(Plan { batch: None, bells: Vec::new(), reply: reply(&job) });
        }
        Job::Finished(_) => {
            let detail = format!("the job is over: it is {}", job.status().name());
            return Err(Problem::new(Code::JobFinished, detail));
        }
    };
    let reply = reply(&job);
    let write = Write::Job(Box::new(job), Expect::At(version));
    Ok(Plan { batch: Some(Batch::default().write(write)), bells: vec![bell], reply })
}

fn reply(job: &Job) -> Reply {
    Reply::accepted(job.id(), &view::job(job))
}

/// Refuses start and stop jobs, which have no process.
pub(super) fn commands_only(job: &Job) -> Result<(), Problem> {
    if job.command().is_some() {
        return Ok(());
    }
    let detail = "this is not the job of a command; stop the session instead";
    Err(Problem::new(Code::NotACommand, detail))
}
