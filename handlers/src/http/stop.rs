//! `POST /v1/shell/stop`: ends a session, at once or after its jobs. Stopping a stopped session
//! succeeds. All stops of a session have one job, which completes when the session is gone.

use axum::{extract::State, response::Response};
use domain::{
    JobId, SessionId,
    job::{self, Job, Outcome, Work},
    message::Message,
    ports::{Expect, Version, Versioned},
    session::{Event, Reason, Session, Transition, TransitionError},
    timeline::Actor,
};

use super::{
    accepted::Accepted,
    extract::parse_id,
    fields::Fields,
    post::{Plan, Post},
    problem::Problem,
    rule::{boolean, id, text},
    sessions, start,
};
use crate::{Env, outbox::Batch};

/// The longest reason. Bytes.
const MAX_REASON: usize = 512;

/// What a stop asks for.
pub(super) struct StopRequest {
    session: String,
    reason: Option<String>,
    drain: bool,
}

pub(super) async fn handle(State(env): State<Env>, post: Post) -> Result<Response, Problem> {
    let request = post.read_body(StopRequest::read)?;
    let id: SessionId = parse_id(&request.session)?;
    let new = JobId::from_ulid(env.ids.ulid());
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let Versioned { value, version } = sessions::owned(&env, &post.user, id).await?;
        let plan = match first_stop(&env, &value).await? {
            Some(job) => repeated(&env, value, version, &job, &request),
            None => {
                let job = start::job(&post.user, id, new, Work::Stop, env.now());
                plan(&env, value, version, job, &request)
            }
        };
        if let Some(response) = attempts.commit(plan).await? {
            return Ok(response);
        }
    }
}

/// The job of the first stop of this session, if it was stopped before.
async fn first_stop(env: &Env, session: &Session) -> Result<Option<Job>, Problem> {
    let of_ended = match session {
        Session::Ended(ended) => Some(ended.stop_job()),
        Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_)
        | Session::Stopping(_) => None,
    };
    let Some(first) = session.common().stop_jobs.first().copied().or(of_ended) else {
        return Ok(None);
    };
    Ok(env.store.job(first).await?.map(|read| read.value))
}

/// The session's first stop.
fn plan(env: &Env, session: Session, read: Version, job: Job, request: &StopRequest) -> Plan {
    let id = session.id();
    if let Session::Ended(ended) = &session {
        let created_at = env.now();
        let common = job::Common { id: ended.stop_job(), created_at, ..job.common().clone() };
        let job = completed(env, Job::accept(common).into());
        let batch = Some(Batch::default().write(start::insert(&job)));
        let reply = Accepted::of(&job).reply();
        return Plan { session: id, essential: true, batch, notifications: Vec::new(), reply };
    }
    let mut transition = stop(env, session, request).unwrap_or_else(unchanged);
    transition.session = transition.session.add_stop_job(job.id());
    let batch =
        Batch::default().transition(env, &transition, Expect::At(read)).write(start::insert(&job));
    let (reply, notifications) =
        (Accepted::of(&job).reply(), vec![Message::NotifySession { session: id }]);
    Plan { session: id, essential: true, batch: Some(batch), notifications, reply }
}

/// A stop after the first, which had this job. It may still stop at once what was to end after its jobs.
fn repeated(env: &Env, session: Session, read: Version, job: &Job, request: &StopRequest) -> Plan {
    let id = session.id();
    let reply = Accepted::of(job).reply();
    let (batch, notifications) = match stop(env, session, request) {
        Ok(transition) if !transition.entries.is_empty() => (
            Some(Batch::default().transition(env, &transition, Expect::At(read))),
            vec![Message::NotifySession { session: id }],
        ),
        Ok(_) | Err(_) => (None, Vec::new()),
    };
    Plan { session: id, essential: true, batch, notifications, reply }
}

fn stop(env: &Env, session: Session, request: &StopRequest) -> Result<Transition, TransitionError> {
    let (reason, note) = (Reason::UserStop, request.reason.clone());
    let event =
        if request.drain { Event::Drain { reason, note } } else { Event::Stop { reason, note } };
    session.on(event, env.stamp(Actor::User))
}

/// A transition that changes nothing: the session is ending already, and the new job waits for that.
fn unchanged(rejected: TransitionError) -> Transition {
    Transition { session: *rejected.session, entries: Vec::new() }
}

fn completed(env: &Env, job: Job) -> Job {
    match job {
        Job::Queued(job) => {
            job.end(Outcome::Completed { exit: None, failure: None }, env.now()).into()
        }
        Job::Running(_) | Job::Finished(_) => job,
    }
}

impl StopRequest {
    /// Reads the body.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let session = fields.required("sessionId", id("SessionId"));
        let reason = text(MAX_REASON).describe("Your reason; shown as the session's note.");
        let reason = fields.optional("reason", reason);
        let drain = boolean().describe("Let the queued jobs finish first.");
        let drain = fields.with_default("drain", drain, false);
        Some(Self { session: session?, reason, drain })
    }
}
