//! `POST /v1/shell/stop`: ends a session, at once or after its jobs. Stopping a stopped one succeeds.

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
    fields::{self, Fields, flag, string, text},
    post::{Plan, Post},
    problem::Problem,
    sessions, start,
};
use crate::{Env, outbox::Batch};

/// What the caller wants.
struct Wish {
    session: String,
    reason: Option<String>,
    drain: bool,
}

pub(super) async fn handle(State(env): State<Env>, post: Post) -> Result<Response, Problem> {
    let wish = fields::object(post.body.expose(), read)?;
    let id: SessionId = wish.session.parse().map_err(|_| Problem::not_found("session"))?;
    let job = JobId::from_ulid(env.ids.ulid());
    let mut rounds = post.rounds(&env);
    loop {
        let Versioned { value, version } = sessions::owned(&env, &post.user, id).await?;
        let job = start::job(&post.user, id, job, Work::Stop, env.now());
        if let Some(response) = rounds.write(plan(&env, value, version, job, &wish)).await? {
            return Ok(response);
        }
    }
}

fn plan(env: &Env, session: Session, read: Version, job: Job, wish: &Wish) -> Plan {
    if matches!(session, Session::Ended(_)) {
        let job = completed(env, job);
        let batch = Batch::default().write(start::new(&job));
        let reply = Accepted::of(&job).reply();
        return Plan { reply, batch: Some(batch), bells: Vec::new() };
    }
    let id = session.id();
    let (reason, note) = (Reason::UserStop, wish.reason.clone());
    let event =
        if wish.drain { Event::Drain { reason, note } } else { Event::Stop { reason, note } };
    let mut moved = session.on(event, env.stamp(Actor::User)).unwrap_or_else(unmoved);
    moved.session = moved.session.add_stop_job(job.id());
    let batch = Batch::default().transition(env, &moved, Expect::At(read)).write(start::new(&job));
    let bells = vec![Message::NotifySession { session: id }];
    Plan { reply: Accepted::of(&job).reply(), batch: Some(batch), bells }
}

/// It ends already: the job only waits for that.
fn unmoved(rejected: TransitionError) -> Transition {
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

fn read(fields: &mut Fields<'_>) -> Option<Wish> {
    let session = fields.required("sessionId", string);
    let reason = fields.optional("reason", text(512));
    let drain = fields.optional("drain", flag).unwrap_or_default();
    Some(Wish { session: session?, reason, drain })
}
