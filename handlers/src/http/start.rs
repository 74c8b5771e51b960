//! `POST /v1/shell/start`: accepts a session, within the quota or in line for it.

use std::{collections::BTreeMap, time::Duration};

use axum::{extract::State, response::Response};
use domain::{
    JobId, Secret, SessionId, Timestamp, UserId,
    command::{Command, Concurrency, Program},
    job::{self, Job, Work},
    message::Message,
    ports::{CommitError, Expect, Write},
    session::{Admission, Queued, Spec, Transition, Waiting},
    size::{Network, Size},
    timeline::Actor,
};
use serde_json::Value;

use super::{
    accepted::Accepted,
    command,
    fields::{self, Fields, Wrong, flag, text, whole, word},
    post::{Plan, Post},
    problem::{Code, Problem},
    webhook,
};
use crate::{Env, Policy, outbox::Batch};

/// What is kept of a stream unless the caller says otherwise. Bytes.
pub(super) const DEFAULT_OUTPUT: u64 = 1024 * 1024;

/// What the caller wants.
struct Wish {
    spec: Spec,
    one_shot: Option<Program>,
    /// We made the webhook's key, so the caller must be told.
    secret_is_new: bool,
}

/// The names that the new records get, the same in each try.
struct Names {
    session: SessionId,
    start: JobId,
    command: JobId,
}

pub(super) async fn handle(State(env): State<Env>, post: Post) -> Result<Response, Problem> {
    let wish = fields::object(post.body.expose(), |fields| read(fields, &env))?;
    let names = Names {
        session: SessionId::from_ulid(env.ids.ulid()),
        start: JobId::from_ulid(env.ids.ulid()),
        command: JobId::from_ulid(env.ids.ulid()),
    };
    let queue = wish.spec.admission == Admission::Queue;
    let mut rounds = post.rounds(&env);
    loop {
        let full = matches!(rounds.refused(), Some(CommitError::QuotaReached));
        if full && !queue {
            let limit = env.policy.max_active_sessions;
            let detail = format!("{limit} sessions are active, which is the limit");
            return Err(Problem::new(Code::QuotaExceeded, detail));
        }
        // Who is ready to wait must not overtake those who wait already.
        let ahead = if queue { env.store.quota(&post.user).await?.waiting } else { 0 };
        let position = (full || ahead > 0).then_some(ahead + 1);
        // Requests at the same time may exceed this a little, which costs nothing but their records.
        if position.is_some() && ahead >= env.policy.max_waiting_sessions {
            let detail = format!("{ahead} sessions wait already, which is the limit");
            return Err(Problem::new(Code::QuotaExceeded, detail));
        }
        let plan = plan(&env, &post.user, &wish, &names, position);
        if let Some(response) = rounds.write(plan).await? {
            return Ok(response);
        }
    }
}

fn plan(env: &Env, user: &UserId, wish: &Wish, names: &Names, position: Option<u32>) -> Plan {
    let stamp = env.stamp(Actor::User);
    let (id, spec) = (names.session, wish.spec.clone());
    let mut batch = Batch::default();
    let mut moved: Transition = if position.is_some() {
        Waiting::accept(id, user.clone(), names.start, spec, stamp).any()
    } else {
        let limit = env.policy.max_active_sessions;
        batch = batch.write(Write::TakeSlot { user: user.clone(), limit });
        Queued::accept(id, user.clone(), names.start, spec, stamp).any()
    };
    if wish.one_shot.is_some() {
        moved.session = moved.session.one_shot(stamp.now);
    }
    let start = job(user, id, names.start, Work::Start, stamp.now);
    batch = batch.transition(env, &moved, Expect::New).write(new(&start));
    let mut accepted = Accepted::of(&start);
    accepted.position = position;
    if let Some(program) = &wish.one_shot {
        let work = Work::Execute(Box::new(one_shot(program.clone(), wish.spec.ttl)));
        batch = batch.write(new(&job(user, id, names.command, work, stamp.now)));
        accepted.command_job_id = Some(names.command);
    }
    let webhook = moved.session.webhook().filter(|_| wish.secret_is_new);
    accepted.webhook_secret = webhook.map(|webhook| webhook.secret.expose().as_str());
    let bells = vec![Message::StartSession { session: id }];
    Plan { reply: accepted.reply(), batch: Some(batch), bells }
}

/// A new job of this work.
pub(super) fn job(user: &UserId, session: SessionId, id: JobId, work: Work, now: Timestamp) -> Job {
    Job::accept(job::Common { id, session, user: user.clone(), work, created_at: now }).into()
}

/// The write of a new job.
pub(super) fn new(job: &Job) -> Write {
    Write::Job(Box::new(job.clone()), Expect::New)
}

/// The command of a one-shot session: nothing bounds it but the session's own time.
fn one_shot(program: Program, ttl: Duration) -> Command {
    Command {
        program: Secret::new(program),
        cwd: None,
        env: Secret::new(BTreeMap::new()),
        user: None,
        stdin: Secret::new(Vec::new()),
        timeout: ttl,
        concurrency: Concurrency::Serial,
        max_output_bytes: DEFAULT_OUTPUT,
    }
}

fn read(fields: &mut Fields<'_>, env: &Env) -> Option<Wish> {
    let policy = &env.policy;
    let image = fields.optional("image", |value| image(value, policy));
    let size = fields.nested("size", size);
    let ttl = fields.optional("ttlSeconds", whole(1..=policy.max_ttl.as_secs()));
    let idle_timeout = fields.optional("idleTimeoutSeconds", whole(1..=policy.max_ttl.as_secs()));
    let vars = fields.optional("env", command::env);
    let metadata = fields.optional("metadata", command::metadata);
    let network = fields.optional("network", |value| network(value, policy));
    let spot = fields.optional("spot", flag);
    let admissions = [("reject", Admission::Reject), ("queue", Admission::Queue)];
    let admission = fields.optional("admission", word(&admissions));
    let one_shot = fields.optional("command", command::program);
    let webhook = fields.nested("webhook", |fields| webhook::read(fields, env));
    let secret_is_new = webhook.as_ref().is_some_and(|webhook| webhook.generated);
    let spec = Spec {
        image: image.unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
        size: size.unwrap_or_default(),
        ttl: ttl.map_or(policy.default_ttl, Duration::from_secs),
        idle_timeout: idle_timeout.map(Duration::from_secs),
        env: Secret::new(vars.unwrap_or_default()),
        metadata: metadata.unwrap_or_default(),
        network: network.unwrap_or(policy.default_network),
        spot: spot.unwrap_or_default(),
        admission: admission.unwrap_or(Admission::Reject),
        webhook: webhook.map(|webhook| webhook.endpoint),
    };
    Some(Wish { spec, one_shot, secret_is_new })
}

/// The image of a start that names none.
const DEFAULT_IMAGE: &str = "default";

fn image(value: Value, policy: &Policy) -> Result<String, Wrong> {
    let image = text(256)(value)?;
    if policy.images.contains(&image) {
        return Ok(image);
    }
    Err(Wrong::new(format!("must be one of: {}", policy.images.join(", "))))
}

fn network(value: Value, policy: &Policy) -> Result<Network, Wrong> {
    let network = word(&[("none", Network::None), ("egress", Network::Egress)])(value)?;
    match policy.refused_networks.get(&network) {
        Some(reason) => Err(Wrong::new(format!("can't be given: {reason}"))),
        None => Ok(network),
    }
}

fn size(fields: &mut Fields<'_>) -> Option<Size> {
    let bound = u64::from(u32::MAX);
    let cpu = fields.optional("cpu", whole(1..=bound)).map_or(Size::DEFAULT.cpu(), narrow);
    let memory = fields.optional("memoryMiB", whole(1..=bound));
    let memory = memory.map_or(Size::DEFAULT.memory_mib(), narrow);
    Size::new(cpu, memory).map_err(|error| fields.fault(Wrong::new(error.to_string()))).ok()
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
