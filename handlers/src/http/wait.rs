//! `waitSeconds` of start and execute: the response waits for the end of the accepted job.
//!
//! The request is accepted, and its 202 stored for its idempotency key, before the wait. A repeated
//! request therefore waits for the same job, and its response tells the state of the job then.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{JobId, UserId, ports::Version};
use serde::{Deserialize, Serialize};

use super::{BODY_LIMIT, extract::Params, jobs, post::Post, problem::Problem, reply::Reply};
use crate::{Env, view::JobView};

/// How long the response waits.
pub(super) struct WaitQuery {
    pub(super) wait: Duration,
}

/// A job that ended while the response waited.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FinishedJob<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    /// The generated key that signs webhooks; shown only here.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

/// What is read of the body of a 202.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedJob {
    job_id: JobId,
    command_job_id: Option<JobId>,
    webhook_secret: Option<String>,
}

/// Accepts a request with `accept`, unless it repeats one with the same idempotency key, and waits for the
/// job's end as long as the query says.
pub(super) async fn accept_and_wait(
    env: &Env,
    user: &UserId,
    params: Params,
    post: Result<Post, Response>,
    accept: impl AsyncFnOnce(&Env, &Post) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let query = params.read(WaitQuery::read)?;
    let (accepted, is_new) = match post {
        Ok(post) => (accept(env, &post).await?, true),
        Err(replayed) => (replayed, false),
    };
    Ok(query.wait(env, user, accepted, is_new).await)
}

impl WaitQuery {
    pub(super) fn read(params: &mut Params) -> Self {
        let wait = jobs::wait_seconds().describe(
            "How long to wait for the job's end; the response is a 200 with the job then. A start with \
             a command waits for the command's job, and the wait for a terminal ends when it can be opened.",
        );
        let seconds = params.with_default("waitSeconds", wait, 0);
        Self { wait: Duration::from_secs(seconds.into()) }
    }

    /// The finished job, or the response to the accepted request if its job does not end in time.
    async fn wait(self, env: &Env, user: &UserId, accepted: Response, is_new: bool) -> Response {
        if self.wait.is_zero() || accepted.status() != StatusCode::ACCEPTED {
            return accepted;
        }
        let (parts, body) = accepted.into_parts();
        let bytes = match to_bytes(body, BODY_LIMIT).await {
            Ok(bytes) => bytes,
            Err(error) => return Response::from_parts(parts, Body::new(error.to_string())),
        };
        // The job goes on whatever happens here, so a failure to read it leaves the 202.
        match finished(env, user, &bytes, self.wait, is_new).await {
            Some(reply) => {
                let mut response = reply.into_response();
                Reply::copy_replayed(&parts.headers, response.headers_mut());
                response
            }
            None => Response::from_parts(parts, Body::from(bytes)),
        }
    }
}

/// 200 with the job that this body of a 202 names, once it has ended or its terminal can be opened; `None` if that is not in time.
/// Of a job that `is_new`, the first version is known, and is not read.
async fn finished(
    env: &Env,
    user: &UserId,
    accepted: &[u8],
    wait: Duration,
    is_new: bool,
) -> Option<Reply> {
    let AcceptedJob { job_id, command_job_id, webhook_secret } =
        serde_json::from_slice(accepted).ok()?;
    let id = command_job_id.unwrap_or(job_id);
    let until = env.now() + wait;
    if is_new {
        env.changes.job_changed(id, Version(1), until).await.ok()?;
    }
    let job = jobs::wait_for_end(env, user, id, until.since(env.now())).await.ok()?;
    if !jobs::is_settled(&job, env.now()) {
        return None;
    }
    let job = jobs::with_output(env, &job).await.ok()?;
    Some(Reply::ok(&FinishedJob { job, webhook_secret }))
}
