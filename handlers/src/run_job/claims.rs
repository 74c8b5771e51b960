//! Jobs that were claimed in the transaction that accepted them.
//!
//! Where the API and the workers are one process, a command for a ready session without other jobs is
//! accepted and claimed at once, which saves a commit for each command. The claim waits here for the
//! message that calls a worker. If the process ends before that, the lease runs out or is released, and the
//! next worker takes the job over as from any worker that died.

use std::collections::HashMap;

use domain::{
    SessionId,
    command::Concurrency,
    job::{Job, Running},
    ports::{BackendError, Expect, Version, Write},
};
use parking_lot::Mutex;

use super::{Claimed, is_serial};
use crate::{Env, outbox::Batch};

/// The claims of this process that no worker follows yet.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<SessionId, Vec<Running>>>);

impl Claims {
    /// Adds a job that was written as new and claimed. A worker must be called afterwards.
    pub(crate) fn add(&self, job: Running) {
        self.0.lock().entry(job.common().session).or_default().push(job);
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

/// The new job as a worker of this process holds it, if it may run at once: the session has no other job.
/// Always `None` where workers are other processes.
pub(crate) async fn claim_if_idle(env: &Env, job: &Job) -> Result<Option<Running>, BackendError> {
    let (Job::Queued(job), Some(_)) = (job, &env.claims) else { return Ok(None) };
    for concurrency in Concurrency::ALL {
        if !env.store.open_jobs(job.common().session, concurrency, 1).await?.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(job.clone().claim(&env.worker, env.now())))
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
