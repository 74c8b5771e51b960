//! What users see of sessions and jobs: in answers and in webhooks. No secret has a field here.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    JobId, SessionId, Timestamp,
    cost::{self, Tally},
    job::{self, Exit, Failure, Job, StreamStats, Usage},
    session::{Reason, Session, Status},
    size::{Network, Size},
    webhook::{Endpoint, EventType},
};
use serde::Serialize;
use serde_json::Value;

use crate::Env;

/// A session as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView<'a> {
    session_id: SessionId,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// The owner's or the provider's words on the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// It takes no more jobs and ends once it has done those it has.
    draining: bool,
    /// The place in the line of those that wait for a slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_at: Option<Timestamp>,
    /// Absent while it waits for a slot, since its time does not run yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    image: &'a str,
    size: SizeView,
    network: Network,
    spot: bool,
    ttl_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout_seconds: Option<u64>,
    metadata: &'a BTreeMap<String, String>,
    start_job_id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookView<'a>>,
    usage: UsageView,
    /// About. Absent where nobody charges.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

/// What a session has used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageView {
    task_ms: u64,
    /// Known once it has ended.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    commands: Option<Tally>,
}

#[derive(Debug, Serialize)]
struct SizeView {
    cpu: u32,
    #[serde(rename = "memoryMiB")]
    memory_mib: u32,
}

#[derive(Debug, Serialize)]
struct WebhookView<'a> {
    events: &'a [EventType],
    /// The endpoint said 410: nothing is sent any more.
    disabled: bool,
}

/// A job as the API shows it. The command is not part of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView<'a> {
    job_id: JobId,
    session_id: SessionId,
    r#type: &'static str,
    status: job::Status,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// The number of the signal that ended the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    pub(crate) stdout: StreamView,
    pub(crate) stderr: StreamView,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// What there is of an output stream, with a part of it where it is asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamView {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<Part>,
    /// Written by the command.
    bytes: u64,
    /// Stored here, from the beginning on.
    kept_bytes: u64,
    truncated: bool,
}

/// A part of an output stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) encoding: Encoding,
    /// Where the next part begins. Bytes from the beginning of the stream.
    pub(crate) next_offset: u64,
}

/// How bytes stand in a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

/// A session; `position` if it waits for a slot.
pub(crate) fn session<'a>(
    env: &Env,
    session: &'a Session,
    position: Option<u32>,
) -> SessionView<'a> {
    let common = session.common();
    let spec = &common.spec;
    let waiting = matches!(session, Session::Waiting(_));
    let usage = session.usage(env.now());
    let (note, ended_at) = match session {
        Session::Stopping(s) => (s.stop().note.as_deref(), None),
        Session::Ended(s) => (s.note(), Some(s.ended_at())),
        Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_) => (None, None),
    };
    SessionView {
        session_id: common.id,
        status: session.status(),
        reason: session.reason(),
        note,
        draining: common.drain.is_some() && session.reason().is_none(),
        position,
        created_at: common.created_at,
        ready_at: session.ready_at(),
        expires_at: (!waiting).then_some(common.expires_at),
        ended_at,
        image: &spec.image,
        size: SizeView::of(spec.size),
        network: spec.network,
        spot: spec.spot,
        ttl_seconds: spec.ttl.as_secs(),
        idle_timeout_seconds: spec.idle_timeout.as_ref().map(Duration::as_secs),
        metadata: &spec.metadata,
        start_job_id: common.start_job,
        webhook: spec.webhook.as_ref().map(WebhookView::of),
        cost_usd: env.policy.pricing.map(|by| by.estimate(spec.size, spec.spot, &usage)),
        usage: UsageView::of(&usage),
    }
}

/// A job without its output's text.
pub(crate) fn job(job: &Job) -> JobView<'_> {
    let common = job.common();
    let (stdout, stderr) = job.output();
    let finished = match job {
        Job::Finished(finished) => Some(finished),
        Job::Queued(_) | Job::Running(_) => None,
    };
    let exit = finished.and_then(|job| job.outcome().exit());
    JobView {
        job_id: common.id,
        session_id: common.session,
        r#type: common.work.name(),
        status: job.status(),
        created_at: common.created_at,
        started_at: job.started_at(),
        finished_at: finished.map(job::Finished::finished_at),
        attempt: job.attempt(),
        exit_code: exit
            .and_then(|exit| if let Exit::Code(code) = exit { Some(code) } else { None }),
        signal: exit.and_then(|exit| if let Exit::Signal(n) = exit { Some(n) } else { None }),
        stdout: StreamView::of(stdout),
        stderr: StreamView::of(stderr),
        error: finished.and_then(|job| job.outcome().failure()),
        usage: finished.and_then(job::Finished::usage),
    }
}

/// The `data` of a webhook about a session.
pub(crate) fn session_event(env: &Env, of: &Session) -> Value {
    data(session(env, of, None))
}

/// The `data` of a webhook about a job.
pub(crate) fn job_event(of: &Job) -> Value {
    data(job(of))
}

fn data(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("a view has only string keys")
}

impl SizeView {
    const fn of(size: Size) -> Self {
        Self { cpu: size.cpu(), memory_mib: size.memory_mib() }
    }
}

impl UsageView {
    fn of(usage: &cost::Usage) -> Self {
        let task_ms = u64::try_from(usage.task.as_millis()).unwrap_or(u64::MAX);
        Self { task_ms, commands: usage.commands }
    }
}

impl<'a> WebhookView<'a> {
    fn of(endpoint: &'a Endpoint) -> Self {
        Self { events: &endpoint.events, disabled: endpoint.gone }
    }
}

impl StreamView {
    const fn of(kept: StreamStats) -> Self {
        let StreamStats { stored, written } = kept;
        let bytes = if written > stored { written } else { stored };
        Self { part: None, bytes, kept_bytes: stored, truncated: kept.truncated() }
    }
}
