//! `GET /v1/jobs/{id}`: a job with the beginning of its output; with `waitSeconds` a long poll.

use std::{slice, time::Duration};

use axum::extract::State;
use domain::{
    JobId, SessionId, Timestamp, UserId,
    command::Concurrency,
    job::Job,
    ports::{Stream, Versioned},
};
use serde_json::Value;

use super::{
    extract::{Id, Params, User},
    output,
    problem::Problem,
    reply::Reply,
    rule::{FieldError, Rule, digits},
};
use crate::{
    Env,
    run_job::is_serial,
    view::{self, JobView},
};

/// The longest wait. Seconds; below the 30 s after which gateways time out.
const MAX_WAIT: u32 = 25;
/// How much of each stream comes with the job. Bytes.
const INLINE: u64 = 64 * 1024;

/// How the job is wanted.
pub(super) struct JobQuery {
    wait: Duration,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    params: Params,
) -> Result<Reply, Problem> {
    let JobQuery { wait } = params.read(JobQuery::read)?;
    let job = wait_for_end(&env, &user, id, wait).await?;
    Ok(Reply::ok(&with_output(&env, &job).await?))
}

/// The caller's job once it has ended, or after this time.
pub(super) async fn wait_for_end(
    env: &Env,
    user: &UserId,
    id: JobId,
    wait: Duration,
) -> Result<Job, Problem> {
    let mut read = owned(env, user, id).await?;
    let until = env.now() + wait;
    while !is_settled(&read.value, env.now()) && env.now() < until {
        env.changes.job_changed(id, read.version, until).await?;
        let last_version = read.version;
        read = owned(env, user, id).await?;
        // The wait ended without a change: the time is up, even if the clock was set back meanwhile.
        if read.version == last_version {
            break;
        }
    }
    Ok(read.value)
}

/// The view of a job with the beginning of its output, and how its terminal is opened.
pub(super) async fn with_output<'a>(env: &Env, job: &'a Job) -> Result<JobView<'a>, Problem> {
    let first = first_serial(env, job.common().session, slice::from_ref(job)).await?;
    let mut view = view::job_with_processes(job).waiting_for(job, first);
    view.terminal = view::terminal(job, env.now());
    view.stdout.part = Some(output::part(env, job, Stream::Stdout, 0, INLINE).await?.1);
    view.stderr.part = Some(output::part(env, job, Stream::Stderr, 0, INLINE).await?.1);
    Ok(view)
}

/// How long a response may wait for the end of a job.
pub(super) fn wait_seconds() -> Rule<impl Fn(Value) -> Result<u32, FieldError>> {
    digits(0..=MAX_WAIT)
}

impl JobQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let wait = wait_seconds()
            .describe("How long to wait for the job's end, or until its terminal can be opened.");
        let seconds = params.with_default("waitSeconds", wait, 0);
        Self { wait: Duration::from_secs(seconds.into()) }
    }
}

/// The caller's job. To the caller, another user's job does not exist.
pub(super) async fn owned(env: &Env, user: &UserId, id: JobId) -> Result<Versioned<Job>, Problem> {
    let read = env.store.job(id).await?.filter(|read| read.value.common().user == *user);
    read.ok_or_else(|| Problem::not_found("job", id))
}

/// The session's first open serial job, if one of these jobs may wait for it.
pub(super) async fn first_serial(
    env: &Env,
    session: SessionId,
    jobs: &[Job],
) -> Result<Option<JobId>, Problem> {
    if !jobs.iter().any(|job| matches!(job, Job::Queued(_)) && is_serial(job)) {
        return Ok(None);
    }
    let first = env.store.open_jobs(session, Concurrency::Serial, 1).await?;
    Ok(first.first().map(|read| read.value.id()))
}

/// Whether a wait for the job ends: it is final, or its terminal can be opened.
pub(super) fn is_settled(job: &Job, now: Timestamp) -> bool {
    is_final(job) || view::terminal(job, now).is_some()
}

pub(super) const fn is_final(job: &Job) -> bool {
    matches!(job, Job::Finished(_))
}
