//! Looks at all that is due. The one mechanism behind the end of every TTL, the retry of every lost
//! message and event, the end of stuck jobs and the redelivery of webhooks.
//!
//! Safe to repeat: it reads what is due and does what the handlers would have done. One record that
//! fails does not hold up the others.

use std::time::Duration;

use domain::{
    DeliveryId, JobId, SessionId, WarmId,
    job::{Job, Outcome},
    message::Message,
    ports::{Due, Expect, Versioned, Write},
    session::Session,
    task::TaskStatus,
};
use serde::Serialize;

use crate::{
    Env, HandlerError, close_session, fill_pool, notification, observe_task,
    outbox::{Batch, settle},
    transition,
};

mod session;

/// How many records the rounds of one sweep read, one after the other while there are more.
const ROUNDS: [u32; 4] = [200, 400, 800, 1600];
/// How many old records one sweep removes.
const FORGET: u32 = 200;
/// How long the records that are due are looked at; the next sweep goes on with what is left.
const AT_MOST: Duration = Duration::from_mins(1);
/// When a queued job is looked at again whose session is not ready yet.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What one sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Records that were due.
    pub due: usize,
    /// Records that could not be looked at; they stay due.
    pub failed: usize,
    /// Old records that were removed.
    pub forgotten: u32,
}

pub(crate) async fn handle(env: &Env) -> Result<Swept, HandlerError> {
    let (due, failed) = look_at_all(env).await?;
    for facts in env.compute.list(None).await? {
        if matches!(facts.status, TaskStatus::Pending | TaskStatus::Running) {
            reap(env, &facts).await?;
        }
    }
    fill_pool::handle(env).await?;
    let forgotten = env.store.forget(env.now() - env.policy.retention, FORGET).await?;
    Ok(Swept { due, failed, forgotten })
}

/// Looks at each record that is due, once; says at how many, and at how many in vain. Each round reads
/// further: some stay due although they were looked at, and must not hide those behind them.
async fn look_at_all(env: &Env) -> Result<(usize, usize), HandlerError> {
    let until = env.now() + AT_MOST;
    let mut seen = Vec::new();
    let mut failed = 0;
    for limit in ROUNDS {
        let due = env.store.due(env.now(), limit).await?;
        let is_all = u32::try_from(due.len()).is_ok_and(|found| found < limit);
        for record in due {
            if seen.contains(&record) {
                continue;
            }
            if env.now() >= until {
                return Ok((seen.len(), failed));
            }
            if let Err(error) = look(env, &record).await {
                failed += 1;
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, ?record, "a record that is due was left as it is");
            }
            seen.push(record);
        }
        if is_all {
            break;
        }
    }
    Ok((seen.len(), failed))
}

async fn look(env: &Env, record: &Due) -> Result<(), HandlerError> {
    match record {
        Due::Session(id) => session::look(env, *id).await,
        Due::Job { job, session } => look_at_job(env, *job, *session).await,
        Due::Delivery(id) => ring_delivery(env, *id).await,
        Due::Warm(id) => retire(env, *id).await,
    }
}

/// A job that is due: begun anew, taken over, or ended with its session.
async fn look_at_job(env: &Env, id: JobId, session: SessionId) -> Result<(), HandlerError> {
    let Some(job) = env.store.job(id).await? else { return Ok(()) };
    let Some(session) = env.store.session(session).await? else { return Ok(()) };
    let session = session.value;
    if job.value.command().is_none() {
        return settle_job(env, job, &session).await;
    }
    match session {
        Session::Ended(_) => close_session::end_jobs(env, &session).await,
        Session::Ready(_) => {
            notification::send(env, Message::RunJob { session: session.id() }, Duration::ZERO)
                .await;
            put_off(env, job).await
        }
        Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Stopping(_) => put_off(env, job).await,
    }
}

/// A start or stop job whose session is further than it.
async fn settle_job(env: &Env, job: Versioned<Job>, session: &Session) -> Result<(), HandlerError> {
    let is_start = job.value.id() == session.start_job();
    let has_come = is_start && session.ready_at().is_some();
    if !has_come && !matches!(session, Session::Ended(_)) {
        return put_off(env, job).await;
    }
    let done = if is_start && session.ready_at().is_none() {
        close_session::not_run(session)
    } else {
        Outcome::Completed { exit: None, failure: None }
    };
    let batch = settle(env, Batch::default(), session, job.value.id(), done).await?;
    Ok(batch.commit(env).await?)
}

/// Nothing can be done for it now. A running job stays due until a worker takes it over.
async fn put_off(env: &Env, read: Versioned<Job>) -> Result<(), HandlerError> {
    let Job::Queued(job) = read.value else { return Ok(()) };
    let later = job.recheck_at(env.now() + LOOK_AGAIN);
    let write = Write::Job(Box::new(later.into()), Expect::At(read.version));
    Batch::default().write(write).put(env).await?;
    Ok(())
}

async fn ring_delivery(env: &Env, delivery: DeliveryId) -> Result<(), HandlerError> {
    notification::send(env, Message::DeliverWebhook { delivery }, Duration::ZERO).await;
    Ok(())
}

async fn retire(env: &Env, id: WarmId) -> Result<(), HandlerError> {
    fill_pool::retire(env, id).await
}

/// Kills a task whose session or whose warm record is over.
async fn reap(env: &Env, facts: &domain::task::TaskFacts) -> Result<(), HandlerError> {
    let owner_is_live = if let Ok(id) = facts.started_by.parse::<SessionId>() {
        let read = env.store.session(id).await?;
        read.is_some_and(|read| !matches!(read.value, Session::Ended(_)))
    } else {
        false
    };
    if owner_is_live {
        return Ok(());
    }
    observe_task::observe(env, facts).await
}

/// Reads a session and puts off its next look, unless it has changed meanwhile.
async fn recheck_later(env: &Env, id: SessionId, after: Duration) -> Result<(), HandlerError> {
    let read = transition::read(env, id).await?;
    let now = env.now();
    if read.value.due_at().is_some_and(|due| due <= now) {
        transition::put(env, read.value.recheck_at(now + after), read.version).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
