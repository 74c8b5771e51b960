//! The record of a session that ends, with its slot and the jobs that started and stopped it.

use domain::{
    JobId,
    job::Outcome,
    ports::{BackendError, Expect, Version, Write},
    session::{Reason, Session, Stopping, Transition},
    timeline::Actor,
};

use super::not_run;
use crate::{
    Env, HandlerError,
    outbox::{Batch, finish_job},
    tally,
};

/// How many stop jobs end in one transaction. A transaction has a limit, and a session can be stopped
/// any number of times.
const STOP_JOBS_PER_COMMIT: usize = 50;

/// Ends the session in one transaction with its slot and its start job, and with what has just become known of it.
/// Returns `None` if one of the records has changed.
pub(super) async fn end(
    env: &Env,
    stopping: Transition<Stopping>,
    read: Version,
    actor: Actor,
) -> Result<Option<Session>, HandlerError> {
    let before = Session::from(stopping.session.clone());
    let commands = tally::of(env, before.id()).await?;
    let stamp = env.stamp(actor);
    let Transition { session, entries } = stopping.then(|stopping| stopping.finish(stamp));
    let transition = Transition { session: session.with_commands(commands).into(), entries };
    let mut batch = Batch::default().transition(env, &transition, Expect::At(read));
    if before.holds_slot() {
        batch = batch.write(Write::FreeSlot { user: before.user().clone(), session: before.id() });
    }
    let session = &transition.session;
    batch = finish_job(env, batch, session, session.start_job(), not_run(session)).await?;
    let mut stop_jobs = session.common().stop_jobs.chunks(STOP_JOBS_PER_COMMIT);
    batch = finish_stop_jobs(env, batch, session, stop_jobs.next().unwrap_or_default()).await?;
    if !batch.put(env).await? {
        return Ok(None);
    }
    for jobs in stop_jobs {
        if !finish_stop_jobs(env, Batch::default(), session, jobs).await?.put(env).await? {
            return Ok(None);
        }
    }
    let reason = session.reason().map(Reason::name);
    tracing::info!(session.id = %session.id(), reason, "closed the session");
    Ok(Some(transition.session))
}

async fn finish_stop_jobs(
    env: &Env,
    mut batch: Batch,
    session: &Session,
    jobs: &[JobId],
) -> Result<Batch, BackendError> {
    for job in jobs {
        let outcome = Outcome::Completed { exit: None, failure: None };
        batch = finish_job(env, batch, session, *job, outcome).await?;
    }
    Ok(batch)
}
