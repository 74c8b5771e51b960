//! `POST /v1/shell/stop`: ends a session, at once or after its jobs. Stopping a stopped session
//! succeeds.

use axum::{extract::State, response::Response};
use domain::{
    JobId, SessionId,
    job::{Job, Outcome, Work},
    message::Message,
    ports::{Expect, Version, Versioned},
    session::{Event, Reason, Session, Transition, TransitionError},
    timeline::Actor,
};

use super::{
    accepted::Accepted,
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
    let id: SessionId = request.session.parse().map_err(|_| Problem::not_found("session"))?;
    let job = JobId::from_ulid(env.ids.ulid());
    let mut attempts = post.retry_on_conflict(&env);
    loop {
        let Versioned { value, version } = sessions::owned(&env, &post.user, id).await?;
        let job = start::job(&post.user, id, job, Work::Stop, env.now());
        let plan = plan(&env, value, version, job, &request);
        if let Some(response) = attempts.commit(plan).await? {
            return Ok(response);
        }
    }
}

fn plan(env: &Env, session: Session, read: Version, job: Job, request: &StopRequest) -> Plan {
    if matches!(session, Session::Ended(_)) {
        let job = completed(env, job);
        let batch = Batch::default().write(start::insert(&job));
        let reply = Accepted::of(&job).reply();
        return Plan { reply, batch: Some(batch), notifications: Vec::new() };
    }
    let id = session.id();
    let (reason, note) = (Reason::UserStop, request.reason.clone());
    let event =
        if request.drain { Event::Drain { reason, note } } else { Event::Stop { reason, note } };
    let mut transition = session.on(event, env.stamp(Actor::User)).unwrap_or_else(unchanged);
    transition.session = transition.session.add_stop_job(job.id());
    let batch =
        Batch::default().transition(env, &transition, Expect::At(read)).write(start::insert(&job));
    let notifications = vec![Message::NotifySession { session: id }];
    Plan { reply: Accepted::of(&job).reply(), batch: Some(batch), notifications }
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
