//! Waits for the end of a job.

use std::time::Duration;

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    api::{Requests, encoded},
    error::ToolError,
};

/// The longest wait of one request to the API, which permits 25. Seconds.
const LONG_POLL: u64 = 20;
/// The time between two notifications of progress. Seconds.
const PROGRESS_INTERVAL: u64 = 1;

/// The call of a tool by a client.
pub(crate) struct Call {
    context: RequestContext<RoleServer>,
    begun: Instant,
    progress: Option<ProgressToken>,
}

impl Call {
    pub(crate) fn new(context: RequestContext<RoleServer>) -> Self {
        let progress = context.meta.get_progress_token();
        Self { context, begun: Instant::now(), progress }
    }

    /// How long the next request to the API may wait if the call may take `most` in all. Seconds.
    pub(crate) fn next_wait(&self, most: u64) -> u64 {
        let left = Duration::from_secs(most).saturating_sub(self.begun.elapsed());
        let interval = if self.progress.is_some() { PROGRESS_INTERVAL } else { LONG_POLL };
        // A wait is in whole seconds; one that has begun counts.
        (left.as_millis().div_ceil(1000) as u64).min(interval)
    }

    /// The job once it has ended, or when the call has taken `most` seconds.
    pub(crate) async fn follow(
        &self,
        api: &Requests,
        job: &str,
        most: u64,
    ) -> Result<Value, ToolError> {
        loop {
            let wait = self.next_wait(most);
            let job = api.get(&format!("/jobs/{}?waitSeconds={wait}", encoded(job))).await?;
            if is_final(&job) || wait == 0 {
                return Ok(job);
            }
            self.report(&job).await;
        }
    }

    /// Tells the client how far the job is, if it wants to know.
    async fn report(&self, job: &Value) {
        let Some(token) = &self.progress else { return };
        let seconds = self.begun.elapsed().as_secs();
        let bytes = |stream: &str| job[stream]["bytes"].as_u64().unwrap_or(0);
        let status = job["status"].as_str().unwrap_or_default();
        let written = bytes("stdout") + bytes("stderr");
        let message = format!("{status} for {seconds} s, {written} bytes of output");
        #[expect(clippy::cast_precision_loss, reason = "seconds of a call")]
        let progress = ProgressNotificationParam::new(token.clone(), seconds as f64);
        // A client that is gone has ended the call too.
        let _gone = self.context.peer.notify_progress(progress.with_message(message)).await;
    }
}

/// Whether a job has ended.
pub(crate) fn is_final(job: &Value) -> bool {
    !matches!(job["status"].as_str(), Some("queued" | "running"))
}
