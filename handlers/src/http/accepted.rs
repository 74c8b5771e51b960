//! The response to an accepted start, execute or stop.

use domain::{
    JobId, SessionId, Timestamp,
    job::{Job, Status},
};
use serde::Serialize;

use super::reply::Reply;
use crate::view::JobType;

/// What the caller needs to find the job again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Accepted<'a> {
    job_id: JobId,
    session_id: SessionId,
    r#type: JobType,
    status: Status,
    created_at: Timestamp,
    links: Links,
    /// The job of a one-shot session's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_job_id: Option<JobId>,
    /// The place among the user's sessions that wait for a slot, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub(super) position: Option<u32>,
    /// The generated key that signs webhooks; shown only here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_secret: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct Links {
    job: String,
    session: String,
    /// The response to a request for files, once its job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

impl Accepted<'_> {
    /// The response for a job that is about to be written.
    pub(super) fn of(job: &Job) -> Self {
        let common = job.common();
        let (job_id, session_id) = (common.id, common.session);
        Self {
            job_id,
            session_id,
            r#type: JobType::of(&common.work),
            status: job.status(),
            created_at: common.created_at,
            links: Links {
                job: format!("/v1/jobs/{job_id}"),
                session: format!("/v1/sessions/{session_id}"),
                result: job
                    .command()
                    .and_then(|command| command.files.as_ref())
                    .map(|_| format!("/v1/jobs/{job_id}/result")),
            },
            command_job_id: None,
            position: None,
            webhook_secret: None,
        }
    }

    /// 202 with this body.
    pub(super) fn reply(&self) -> Reply {
        Reply::accepted(self.job_id, self)
    }
}
