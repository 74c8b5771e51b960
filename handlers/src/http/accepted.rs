//! The envelope that start, execute and stop answer with.

use domain::{JobId, SessionId, Timestamp, job::Job};
use serde::Serialize;

use super::reply::Reply;

/// What the caller needs to find the job again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accepted<'a> {
    job_id: JobId,
    session_id: SessionId,
    r#type: &'static str,
    status: &'static str,
    created_at: Timestamp,
    links: Links,
    /// The job of a one-shot session's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_job_id: Option<JobId>,
    /// The place in the line of those that wait for a slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<u32>,
    /// The key that signs webhooks, if we made it. Shown only here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_secret: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Links {
    job: String,
    session: String,
}

impl Accepted<'_> {
    /// The envelope of a job that is about to be written.
    pub(super) fn of(job: &Job) -> Self {
        let common = job.common();
        let (job_id, session_id) = (common.id, common.session);
        Self {
            job_id,
            session_id,
            r#type: common.work.name(),
            status: job.status().name(),
            created_at: common.created_at,
            links: Links {
                job: format!("/v1/jobs/{job_id}"),
                session: format!("/v1/sessions/{session_id}"),
            },
            command_job_id: None,
            position: None,
            webhook_secret: None,
        }
    }

    /// 202 with the envelope.
    pub(super) fn reply(&self) -> Reply {
        Reply::accepted(self.job_id, self)
    }
}
