//! `GET /v1/jobs/{id}/stream`: a job's output and end as server-sent events.
//!
//! An event's id has the offsets of both streams (`stdout.stderr`), so that `Last-Event-ID` resumes
//! there. The id of the last event ends in `.end`; a client that reconnects with it gets 204, after
//! which browsers stop reconnecting.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header::ACCEPT},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use domain::{
    JobId, Timestamp, UserId,
    job::{Job, Status},
    ports::{Stream, Version, Versioned},
};
use futures::stream;
use serde::Serialize;
use serde_json::json;

use super::{
    extract::{Id, Params, User},
    jobs, output,
    problem::{Code, InputError, Problem},
};
use crate::{
    Env,
    view::{self, Part, StreamName},
};

/// Longest silence: after it a comment keeps the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The most output of one event. Bytes.
const CHUNK: u64 = 64 * 1024;

/// The data of an event with a part of the output.
#[derive(Serialize)]
struct OutputEvent {
    stream: StreamName,
    offset: u64,
    #[serde(flatten)]
    part: Part,
}

/// The state of one response: what was sent so far and what is to be sent next.
struct Progress {
    env: Env,
    user: UserId,
    job: JobId,
    stdout: u64,
    stderr: u64,
    status: Option<Status>,
    /// The version of the job whose changes are all sent or queued.
    sent: Option<Version>,
    events: VecDeque<Event>,
    /// When the latest event or comment was sent; before that, when the response began.
    last_sent: Timestamp,
    ended: bool,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.read_none()?;
    if !accepts_events(&headers) {
        let detail = "this is a stream of events; accept text/event-stream";
        return Err(Problem::new(Code::NotAcceptable, detail));
    }
    if !env.policy.streaming {
        let detail = "this deployment has no streams; \
                      use GET /v1/jobs/{id}?waitSeconds=25 and /output?offset=";
        return Err(Problem::new(Code::StreamingUnavailable, detail));
    }
    let Some((stdout, stderr)) = position(&headers)? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    jobs::owned(&env, &user, id).await?;
    let progress = Progress {
        last_sent: env.now(),
        env,
        user,
        job: id,
        stdout,
        stderr,
        status: None,
        sent: None,
        events: VecDeque::new(),
        ended: false,
    };
    let events = stream::unfold(progress, async |mut progress| {
        progress.next().await.map(|event| (Ok::<_, Infallible>(event), progress))
    });
    // Without the header, nginx keeps the events until the end of the response.
    let headers = [("x-accel-buffering", "no"), ("cache-control", "no-store")];
    Ok((headers, Sse::new(events)).into_response())
}

/// Whether the client accepts `text/event-stream` (RFC 9110, 12.5.1): the most specific range decides.
fn accepts_events(headers: &HeaderMap) -> bool {
    let mut best: Option<(u8, bool)> = None;
    let mut is_given = false;
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            is_given |= !kind.is_empty();
            let precision = match kind.as_str() {
                "text/event-stream" => 3,
                "text/*" => 2,
                "*/*" => 1,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let is_wanted = weight.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
            if best.is_none_or(|(known, _)| precision >= known) {
                best = Some((precision, is_wanted));
            }
        }
    }
    best.map_or(!is_given, |(_, is_wanted)| is_wanted)
}

/// The offsets to resume at; `None` if the end was sent before.
fn position(headers: &HeaderMap) -> Result<Option<(u64, u64)>, Problem> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else {
        return Ok(Some((0, 0)));
    };
    let parts: Option<Vec<_>> = id.to_str().ok().map(|id| id.split('.').collect());
    match parts.as_deref() {
        Some([_, _, "end"]) => return Ok(None),
        Some([stdout, stderr]) => {
            let offset =
                |text: &str| text.parse::<u64>().ok().filter(|at| *at <= output::MAX_OFFSET);
            if let (Some(stdout), Some(stderr)) = (offset(stdout), offset(stderr)) {
                return Ok(Some((stdout, stderr)));
            }
        }
        _ => {}
    }
    let detail = "must be the id of an event of this stream";
    Err(Problem::invalid(vec![InputError::in_header("Last-Event-ID", detail)]))
}

impl Progress {
    /// The next event, as soon as there is one; none after the end or after a failure, where the
    /// client reconnects with the last id.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.last_sent = self.env.now();
                return Some(event);
            }
            if self.ended {
                return None;
            }
            // Changes that cause no event, as the renewal of a lease, do not put off the comment.
            let comment_due = self.last_sent + KEEP_ALIVE;
            let sent = self.sent.take();
            if let Some(version) = sent {
                self.env.changes.job_changed(self.job, version, comment_due).await.ok()?;
            }
            let Versioned { value: job, version } =
                jobs::owned(&self.env, &self.user, self.job).await.ok()?;
            if sent == Some(version) {
                self.sent = sent;
            } else {
                self.queue_events(&job, version).await.ok()?;
            }
            if self.events.is_empty() && self.env.now() >= comment_due {
                self.events.push_back(Event::default().comment(""));
            }
        }
    }

    /// Queues the events for the changes of this record.
    async fn queue_events(&mut self, job: &Job, version: Version) -> Result<(), Problem> {
        if self.status != Some(job.status()) {
            self.status = Some(job.status());
            let data = json!({"status": job.status(), "attempt": job.attempt()});
            self.push("status", &data.to_string());
        }
        let more =
            self.output(job, Stream::Stdout).await? | self.output(job, Stream::Stderr).await?;
        if more {
            return Ok(());
        }
        self.sent = Some(version);
        if jobs::is_final(job) {
            self.ended = true;
            let data = serde_json::to_string(&view::job(job)).expect("a view has only string keys");
            let id = format!("{}.{}.end", self.stdout, self.stderr);
            self.events.push_back(Event::default().event("end").id(id).data(data));
        }
        Ok(())
    }

    /// Queues the next output of a stream; false if there is none.
    async fn output(&mut self, job: &Job, stream: Stream) -> Result<bool, Problem> {
        let offset = match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        let (begin, part) = output::part(&self.env, job, stream, offset, CHUNK).await?;
        if part.next_offset == begin {
            return Ok(false);
        }
        let name = StreamName::from(stream);
        if begin > offset {
            self.push("gap", &json!({"stream": name, "from": offset, "to": begin}).to_string());
        }
        match stream {
            Stream::Stdout => self.stdout = part.next_offset,
            Stream::Stderr => self.stderr = part.next_offset,
        }
        let data = serde_json::to_string(&OutputEvent { stream: name, offset: begin, part });
        self.push("output", &data.expect("a view has only string keys"));
        Ok(true)
    }

    fn push(&mut self, kind: &str, data: &str) {
        let id = format!("{}.{}", self.stdout, self.stderr);
        self.events.push_back(Event::default().event(kind).id(id).data(data));
    }
}
