//! `POST /v1/shell/start`: accepts a session, within the quota or waiting for a slot, and as fast as the user's
//! rate allows.

use axum::{extract::State, response::Response};
use domain::{
    JobId, SessionId, Timestamp, UserId,
    command::{Command, Program},
    job::{self, Job, Work},
    message::Message,
    ports::{CommitError, Expect, Write},
    session::{Admission, Queued, Spec, Transition, Waiting},
    timeline::Actor,
};

use super::{
    accepted::Accepted,
    extract::{Params, User},
    post::{Plan, Post},
    problem::{Code, Problem},
    wait,
};
use crate::{Env, Policy, outbox::Batch};

mod request;

pub(super) use request::StartRequest;

/// How much of stdout, and of stderr, is stored unless the request says otherwise. Bytes.
pub(super) const DEFAULT_OUTPUT: u64 = 1024 * 1024;

/// A session that is about to be accepted. Its ids stay the same when the plan is made again.
struct NewSession {
    user: UserId,
    id: SessionId,
    start_job: JobId,
    spec: Spec,
    one_shot: Option<OneShot>,
    /// The webhook's signing key was generated, so the response must show it.
    show_secret: bool,
}

/// The command of a one-shot session, which is stopped after it.
struct OneShot {
    job: JobId,
    program: Program,
}

pub(super) async fn handle(
    State(env): State<Env>,
    User(user): User,
    params: Params,
    post: Result<Post, Response>,
) -> Result<Response, Problem> {
    wait::accept_and_wait(&env, &user, params, post, accept).await
}

async fn accept(env: &Env, post: &Post) -> Result<Response, Problem> {
    let request = post.read_body(|fields| StartRequest::read(fields, &env.policy))?;
    let new = NewSession::of(request, env, &post.user);
    let mut attempts = post.retry_on_conflict(env);
    loop {
        let position = position(env, &new, attempts.last_error()).await?;
        if let Some(response) = attempts.commit(plan(env, &new, position)).await? {
            return Ok(response);
        }
    }
}

/// The place among the user's waiting sessions, from 1; none if the session takes a slot at once.
async fn position(
    env: &Env,
    new: &NewSession,
    last_error: Option<&CommitError>,
) -> Result<Option<u32>, Problem> {
    let Policy { max_active_sessions, max_waiting_sessions, .. } = *env.policy;
    let quota_reached = matches!(last_error, Some(CommitError::QuotaReached));
    let no_capacity = matches!(last_error, Some(CommitError::NoCapacity));
    if new.spec.admission == Admission::Reject {
        if quota_reached {
            let detail = format!("{max_active_sessions} sessions are active, which is the limit");
            return Err(Problem::new(Code::QuotaExceeded, detail));
        }
        if no_capacity {
            let detail = "the server is full: its sessions are as many as it may have, or use all memory, disk or \
                          processes that it may give them; try again when one has ended, or start with \
                          admission: queue";
            return Err(Problem::new(Code::CapacityExceeded, detail));
        }
        return Ok(None);
    }
    // A session that may wait must not overtake those that wait already.
    let waiting = env.store.quota(&new.user).await?.waiting;
    if !quota_reached && !no_capacity && waiting == 0 {
        return Ok(None);
    }
    // Concurrent requests may exceed this limit a little, which costs no more than their records.
    if waiting >= max_waiting_sessions {
        let detail = format!("{waiting} sessions wait already, which is the limit");
        return Err(Problem::new(Code::QuotaExceeded, detail));
    }
    Ok(Some(waiting + 1))
}

/// Accepts the session, with a slot or with a place among those that wait; writes its start job and,
/// for a one-shot session, its command's job; then has the session started.
fn plan(env: &Env, new: &NewSession, position: Option<u32>) -> Plan {
    let now = env.now();
    let mut batch = Batch::default();
    if position.is_none() {
        let (user, limit) = (new.user.clone(), env.policy.max_active_sessions);
        batch = batch.write(Write::TakeSlot { user, limit });
        batch = batch.write(Write::RequireCapacity { session: new.id, size: new.spec.size });
    }
    if let Some(rate) = env.policy.start_rate() {
        batch = batch.write(Write::CountStart { user: new.user.clone(), at: now, rate });
    }
    let accepted = new.accept(env, position.is_some());
    let start = job(&new.user, new.id, new.start_job, Work::Start, now);
    batch = batch.transition(env, &accepted, Expect::New).write(insert(&start));
    if let Some(OneShot { job: id, program }) = &new.one_shot {
        // It may run as long as the session lives.
        let command = Command::new(program.clone(), new.spec.ttl, DEFAULT_OUTPUT);
        let work = Work::Execute(Box::new(command));
        batch = batch.write(insert(&job(&new.user, new.id, *id, work, now)));
    }
    let mut body = Accepted::of(&start);
    body.command_job_id = new.one_shot.as_ref().map(|command| command.job);
    body.position = position;
    body.webhook_secret = new.shown_secret();
    let notifications = vec![Message::StartSession { session: new.id }];
    let reply = body.reply();
    Plan { session: new.id, essential: false, batch: Some(batch), notifications, reply }
}

impl NewSession {
    fn of(request: StartRequest, env: &Env, user: &UserId) -> Self {
        let (spec, command, show_secret) = request.into_spec(env);
        let id = SessionId::from_ulid(env.ids.ulid());
        let start_job = JobId::from_ulid(env.ids.ulid());
        let job = JobId::from_ulid(env.ids.ulid());
        let one_shot = command.map(|program| OneShot { job, program });
        Self { user: user.clone(), id, start_job, spec, one_shot, show_secret }
    }

    /// The transition that creates the session.
    fn accept(&self, env: &Env, wait: bool) -> Transition {
        let stamp = env.stamp(Actor::User);
        let (user, spec) = (self.user.clone(), self.spec.clone());
        let mut accepted: Transition = if wait {
            Waiting::accept(self.id, user, self.start_job, spec, stamp).any()
        } else {
            Queued::accept(self.id, user, self.start_job, spec, stamp).any()
        };
        if self.one_shot.is_some() {
            accepted.session = accepted.session.one_shot(stamp.now);
        }
        accepted
    }

    /// The webhook's signing key, if it was generated.
    fn shown_secret(&self) -> Option<&str> {
        let webhook = self.spec.webhook.as_ref().filter(|_| self.show_secret)?;
        Some(webhook.secret.expose())
    }
}

/// A job that was just accepted.
pub(super) fn job(user: &UserId, session: SessionId, id: JobId, work: Work, now: Timestamp) -> Job {
    Job::accept(job::Common { id, session, user: user.clone(), work, created_at: now }).into()
}

/// The write that creates a job.
pub(super) fn insert(job: &Job) -> Write {
    Write::Job(Box::new(job.clone()), Expect::New)
}
