//! `GET /v1/jobs/{id}`: a job with the beginning of its output; waits for its end if asked to.

use std::time::Duration;

use axum::extract::State;
use domain::{
    JobId, UserId,
    job::Job,
    ports::{Stream, Versioned},
};

use super::{
    extract::{Id, Params, User, number},
    output,
    problem::Problem,
    reply::Reply,
};
use crate::{Env, view};

/// The longest wait. Seconds; below the 30 s after which gateways give up.
const MAX_WAIT: u64 = 25;
/// How much of each stream comes with the job. Bytes.
const INLINE: u64 = 64 * 1024;

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    mut params: Params,
) -> Result<Reply, Problem> {
    let wait = params.take("waitSeconds", number(0..=MAX_WAIT));
    params.finish()?;
    let mut read = owned(&env, &user, id).await?;
    let until = env.now() + Duration::from_secs(wait.unwrap_or(0));
    while !is_final(&read.value) && env.now() < until {
        env.changes.job_changed(id, read.version, until).await?;
        let again = owned(&env, &user, id).await?;
        // Woken without news: the time is up, whatever the clock says.
        let news = again.version != read.version;
        read = again;
        if !news {
            break;
        }
    }
    let job = &read.value;
    let mut view = view::job(job);
    view.stdout.part = Some(output::part(&env, job, Stream::Stdout, 0, INLINE).await?);
    view.stderr.part = Some(output::part(&env, job, Stream::Stderr, 0, INLINE).await?);
    Ok(Reply::ok(&view))
}

/// The caller's job. One that belongs to somebody else does not exist.
pub(super) async fn owned(env: &Env, user: &UserId, id: JobId) -> Result<Versioned<Job>, Problem> {
    let read = env.store.job(id).await?.filter(|read| read.value.common().user == *user);
    read.ok_or_else(|| Problem::not_found("job"))
}

pub(super) const fn is_final(job: &Job) -> bool {
    matches!(job, Job::Finished(_))
}
