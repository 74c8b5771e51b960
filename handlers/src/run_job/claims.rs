//! Jobs that were claimed in the transaction that accepted them.
//!
//! A command for a ready session without other jobs is accepted and claimed at once, which saves a commit for
//! each command. Where the API and the workers are one process, the claim waits here for the message that calls
//! a worker; elsewhere that message names the job, and the worker that gets it first picks it up. Where runners
//! report by themselves, no worker is needed: the request that accepted the command posts it. If the process
//! ends or the message is lost before that, the lease runs out or is released, and the next worker takes the job
//! over as from any worker that died.

use std::collections::HashMap;

use domain::{
    SessionId,
    job::{Job, Running},
    message::Message,
    ports::{Expect, Version, Write},
    session::Session,
};
use parking_lot::Mutex;

use super::{Claimed, ClaimedJob, is_serial};
use crate::{Env, outbox::Batch};

/// The claims of this process that no worker follows yet.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<SessionId, Vec<Running>>>);

impl Claims {
    /// Adds a job that was written as new and claimed. A worker must be called afterwards.
    pub(crate) fn add(&self, job: Running) {
        self.0.lock().entry(job.common().session).or_default().push(job);
    }

    /// Whether there is a claim of the session.
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.0.lock().contains_key(&session)
    }

    /// Takes one claim of the session, for one worker, and tells whether there are more.
    pub(super) fn take(&self, session: SessionId) -> Option<(Claimed, bool)> {
        let mut claims = self.0.lock();
        let of_session = claims.get_mut(&session)?;
        let job = of_session.pop();
        let has_more = !of_session.is_empty();
        if !has_more {
            claims.remove(&session);
        }
        Some((Claimed { job: job?, version: Version(1), unreached: true }, has_more))
    }

    /// Forgets the claims of a session whose jobs can't run any more.
    pub(super) fn forget(&self, session: SessionId) {
        self.0.lock().remove(&session);
    }
}

/// Whether a command that may run at once is claimed when it is accepted.
pub(crate) fn claims_when_accepted(env: &Env) -> bool {
    env.claims.is_some() || env.policy.claims_by_message || env.policy.posts_commands
}

/// The new job of a session without other jobs, as a worker holds it.
pub(crate) fn claim_new(env: &Env, job: &Job) -> Option<Running> {
    let Job::Queued(job) = job else { return None };
    Some(match &env.claims {
        None if !env.policy.posts_commands => job.clone().claim_for_any(env.now()),
        _ => job.clone().claim(&env.worker, env.now()),
    })
}

/// Posts a command whose claim was written. If that fails, a worker is called once the job may be taken over.
pub(crate) async fn post_claimed(env: &Env, session: Session, job: Running) {
    let Some(task) = session.task().cloned() else { return };
    let claimed = Claimed { job, version: Version(1), unreached: true };
    if let Err(error) = (ClaimedJob { session, task, claimed }).follow(env).await {
        error.log("post-command");
    }
}

/// Leaves a claim that was written to the worker that the returned message calls.
pub(crate) fn leave_claim(env: &Env, job: Running) -> Message {
    let (session, id) = (job.common().session, job.common().id);
    match &env.claims {
        Some(claims) => {
            claims.add(job);
            Message::RunJob { session }
        }
        None => Message::RunClaimed { session, job: id },
    }
}

/// Adds the writes of a claim. They fail if another job has the session's turn; if the job `is_new` among
/// those that run, also if that are too many.
pub(crate) fn write_claim(
    env: &Env,
    batch: Batch,
    job: &Running,
    expect: Expect,
    is_new: bool,
) -> Batch {
    let job = Job::from(job.clone());
    let (id, session, user) = (job.id(), job.common().session, job.common().user.clone());
    let is_serial = is_serial(&job);
    let mut batch = batch.write(Write::Job(Box::new(job), expect));
    if is_serial {
        batch = batch.write(Write::TakeTurn { session, job: id });
    }
    // A command that runs already has its place.
    if let Some(limits) = env.policy.running.filter(|_| is_new) {
        batch = batch.write(Write::RequireRunRoom { user, session, limits });
    }
    batch
}
