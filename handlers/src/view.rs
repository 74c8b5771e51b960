//! Sessions and jobs as users see them, in responses and in webhooks. No view has a field for a secret.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    JobId, SessionId, Timestamp,
    cost::{self, Tally},
    job::{self, Exit, Failure, Job, Usage, Work},
    ports::Stream,
    session::{Reason, Session, Status},
    size::{Network, Size},
    webhook::{Endpoint, EventType},
};
use serde::Serialize;
use serde_json::Value;

use crate::{Env, run_job::is_serial};

mod stream;

pub(crate) use stream::{
    Encoding, MarkView, Part, StreamName, StreamSize, StreamView, marks, recorded, stats,
};

/// A session as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Session"))]
pub(crate) struct SessionView<'a> {
    session_id: SessionId,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// The owner's reason for the end, or the provider's message about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// The session accepts no more jobs and ends after those it has.
    draining: bool,
    /// The place among the user's sessions that wait for a slot, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    position: Option<u32>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_at: Option<Timestamp>,
    /// Absent while the session waits for a slot, since its lifetime has not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    image: &'a str,
    size: SizeView,
    network: Network,
    spot: bool,
    #[cfg_attr(test, schemars(range(min = 1)))]
    ttl_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    idle_timeout_seconds: Option<u64>,
    metadata: &'a BTreeMap<String, String>,
    start_job_id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookView<'a>>,
    usage: UsageView,
    /// An estimate of the cost until now, by list prices. Absent where shells cost nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 0)))]
    cost_usd: Option<f64>,
}

/// What a session has used. The numbers of its commands are known once the session has ended, and
/// count its first 1,000 jobs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[cfg_attr(test, schemars(extend("dependentRequired" = {"jobs": ["wallMs", "cpuMs"]})))]
struct UsageView {
    /// How long the session has had its task; a warm task counts from when it was claimed.
    task_ms: u64,
    /// The use of its commands; known once the session has ended.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    commands: Option<Tally>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct SizeView {
    cpu: u32,
    #[serde(rename = "memoryMiB")]
    memory_mib: u32,
    #[serde(rename = "diskMiB")]
    disk_mib: u32,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct WebhookView<'a> {
    events: &'a [EventType],
    /// The endpoint answered 410, so nothing more is sent to it.
    disabled: bool,
}

/// A job as the API shows it. The command is not part of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Job"))]
pub(crate) struct JobView<'a> {
    job_id: JobId,
    session_id: SessionId,
    r#type: JobType,
    status: job::Status,
    /// While a serial job is queued behind others of its session: the one of them that runs or is next.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<JobId>,
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
    /// The first of the processes that the command left running at its end. Lists and webhooks leave
    /// them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    background_processes: Vec<ProcessView<'a>>,
    /// Only of a command whose state is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<ShellView<'a>>,
    /// How the job's terminal is opened, once. Absent unless such a permission is valid; only
    /// `GET /v1/jobs/{id}` and a request that waits show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminal: Option<TerminalView<'a>>,
    /// Only of a terminal that is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recording: Option<RecordingView>,
}

/// The recording of a terminal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Recording"))]
pub(crate) struct RecordingView {
    /// The bytes that are stored. A terminal that runs has more later.
    bytes: u64,
}

/// What a client needs to open a terminal, in the shape that ECS `ExecuteCommand` returns. `Debug` does not
/// show the token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct TerminalView<'a> {
    /// The id of the data channel.
    session_id: &'a str,
    /// The WebSocket to connect to.
    stream_url: &'a str,
    /// Goes into the first message on the WebSocket. Valid once.
    token_value: &'a str,
    expires_at: Timestamp,
}

impl std::fmt::Debug for TerminalView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalView").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

/// A process of a shell.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct ProcessView<'a> {
    pid: i32,
    /// The beginning of its command line.
    command: &'a str,
}

/// The shell that a command shares with others.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct ShellView<'a> {
    name: &'a str,
    /// Whether the shell was started for this command, so that nothing of earlier commands was left. Known
    /// once the command has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_new: Option<bool>,
    /// Whether the shell ended with this command, so that the next command of this name gets a new one.
    /// Known once the command has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_ended: Option<bool>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum JobType {
    Start,
    Execute,
    Terminal,
    Files,
    Stop,
}

impl<'a> ShellView<'a> {
    fn of(job: &'a Job) -> Option<Self> {
        let name = job.command()?.shared_shell.as_deref()?;
        let used = if let Job::Finished(finished) = job { finished.shell() } else { None };
        let (is_new, has_ended) = (used.map(|used| used.is_new), used.map(|used| used.has_ended));
        Some(Self { name, is_new, has_ended })
    }
}

/// The view of a session; `position` is its place if it waits for a slot.
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

/// The view of a job, without the text of its output.
pub(crate) fn job(job: &Job) -> JobView<'_> {
    let common = job.common();
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|stream| stats(job, stream));
    let finished = match job {
        Job::Finished(finished) => Some(finished),
        Job::Queued(_) | Job::Running(_) => None,
    };
    let exit = finished.and_then(|job| job.outcome().exit());
    JobView {
        job_id: common.id,
        session_id: common.session,
        r#type: JobType::of(&common.work),
        status: job.status(),
        waits_for: None,
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
        background_processes: Vec::new(),
        shell: ShellView::of(job),
        terminal: None,
        recording: recorded(job).map(|bytes| RecordingView { bytes }),
    }
}

impl JobView<'_> {
    /// Names the job that a queued serial job waits for; `first` is the session's first open serial job.
    pub(crate) fn waiting_for(mut self, job: &Job, first: Option<JobId>) -> Self {
        let waits = matches!(job, Job::Queued(_)) && is_serial(job);
        self.waits_for = first.filter(|first| waits && *first != self.job_id);
        self
    }
}

/// The view of a job with the processes that it left running, without the text of its output.
pub(crate) fn job_with_processes(of: &Job) -> JobView<'_> {
    let background = match of {
        Job::Finished(finished) => finished.background(),
        Job::Queued(_) | Job::Running(_) => &[],
    };
    let background = background.iter();
    let background_processes = background
        .map(|process| ProcessView { pid: process.pid, command: process.command.expose() })
        .collect();
    JobView { background_processes, ..job(of) }
}

/// How the job's terminal is opened now, if it may be.
pub(crate) fn terminal(job: &Job, now: Timestamp) -> Option<TerminalView<'_>> {
    let Job::Running(running) = job else { return None };
    let access = running.access(now)?;
    Some(TerminalView {
        session_id: &access.channel,
        stream_url: &access.stream_url,
        token_value: access.token.expose(),
        expires_at: access.expires_at,
    })
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
        Self { cpu: size.cpu(), memory_mib: size.memory_mib(), disk_mib: size.disk_mib() }
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

impl JobType {
    /// The type of a job that does this.
    pub(crate) fn of(work: &Work) -> Self {
        match work {
            Work::Start => Self::Start,
            Work::Execute(command) if command.terminal.is_some() => Self::Terminal,
            Work::Execute(command) if command.files.is_some() => Self::Files,
            Work::Execute(_) => Self::Execute,
            Work::Stop => Self::Stop,
        }
    }
}
