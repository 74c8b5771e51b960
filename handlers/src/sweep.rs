//! Handles every record that is due, and checks the tasks that run. This one mechanism ends sessions at their time,
//! makes up for lost messages and events, stops orphans, takes over stuck jobs, and delivers webhooks again. Jobs that
//! the store does not list when they are due are found by the tasks of their sessions.
//!
//! Safe to repeat: it reads what is due and what runs, and does what the other handlers do. A record or task that fails
//! does not hold up the others.

use std::time::Duration;

use domain::{Timestamp, message::Message, ports::Due, task::TaskStatus};
use serde::Serialize;

use crate::{Env, HandlerError, fill_pool, notification, warm_task};

mod job;
mod owner;
mod session;
mod tasks;

use tasks::KnownTasks;

/// How many due records one sweep reads: so many, then more as long as there are more.
const LIMITS: [u32; 4] = [200, 400, 800, 1600];
/// How many old records one transaction removes, so that it does not hold up others.
const FORGET_LIMIT: u32 = 100;
/// How long one sweep removes old records. The next sweep removes the rest.
const FORGET_TIME: Duration = Duration::from_secs(30);
/// How long one sweep handles due records. The next sweep handles the rest.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// How long one sweep checks tasks. The next sweep begins with others.
const TASK_TIME: Duration = Duration::from_secs(20);

/// What one sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Records that were due.
    pub due: usize,
    /// Records that could not be handled, which stay due, and tasks that could not be checked.
    pub failed: usize,
    /// Old records that were removed.
    pub forgotten: u32,
}

pub(crate) async fn handle(env: &Env) -> Result<Swept, HandlerError> {
    let (due, failed_records) = handle_due(env).await?;
    let failed = failed_records + check_tasks(env).await?;
    fill_pool::handle(env).await?;
    let forgotten = forget(env).await?;
    Ok(Swept { due, failed, forgotten })
}

/// Checks the sessions of all tasks. Returns how many checks failed.
async fn check_tasks(env: &Env) -> Result<usize, HandlerError> {
    let until = env.now() + TASK_TIME;
    let mut tasks = env.compute.list(None).await?;
    tasks.retain(|facts| facts.status < TaskStatus::Stopping);
    let first = first_of(tasks.len(), env.now());
    tasks.rotate_left(first);
    let mut failed = 0;
    for facts in &tasks {
        if env.now() >= until {
            break;
        }
        if let Err(error) = owner::check(env, facts).await {
            failed += 1;
            let error: &dyn std::error::Error = &error;
            let (task, session) = (&facts.task, &facts.started_by);
            tracing::warn!(
                error,
                task.id = %task,
                session.id = session,
                "failed to check a task; the next sweep checks it again"
            );
        }
    }
    Ok(failed)
}

/// Where the sweep of this minute begins among so many tasks. Multiples of the golden ratio, taken modulo 1, are
/// spread evenly, however many minutes have passed, so each task gets its turn soon if a sweep checks only some.
const fn first_of(tasks: usize, now: Timestamp) -> usize {
    /// The golden ratio modulo 1, times 2^32.
    const STEP: u64 = 2_654_435_769;
    let minute = now.millis().unsigned_abs() / 60_000;
    let fraction = minute.wrapping_mul(STEP) & 0xFFFF_FFFF;
    ((fraction * tasks as u64) >> 32) as usize
}

/// Removes the records whose retention is over: as fast as they may have been created.
async fn forget(env: &Env) -> Result<u32, HandlerError> {
    let until = env.now() + FORGET_TIME;
    let before = env.now() - env.policy.retention;
    let mut forgotten = 0;
    loop {
        let removed = env.store.forget(before, FORGET_LIMIT).await?;
        forgotten += removed;
        // Fewer than the limit are all of them. There are three kinds of records, each with the limit.
        if removed < FORGET_LIMIT || env.now() >= until {
            return Ok(forgotten);
        }
    }
}

/// Handles each due record once. Returns how many there were, and how many of them failed.
///
/// Some records stay due although they were handled. Each read goes further than the one before, so
/// that they do not hide the records behind them.
async fn handle_due(env: &Env) -> Result<(usize, usize), HandlerError> {
    let until = env.now() + TIME_LIMIT;
    let mut seen = Vec::new();
    let mut failed = 0;
    for limit in LIMITS {
        let mut due = env.store.due(env.now(), limit).await?;
        let is_all = u32::try_from(due.len()).is_ok_and(|found| found < limit);
        due.retain(|record| !seen.contains(record));
        let tasks = KnownTasks::of(env, &mut due).await;
        for record in due {
            if env.now() >= until {
                return Ok((seen.len(), failed));
            }
            if let Err(error) = handle_record(env, &record, &tasks).await {
                failed += 1;
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, ?record, "failed to handle a due record; it stays due");
            }
            seen.push(record);
        }
        if is_all {
            break;
        }
    }
    Ok((seen.len(), failed))
}

async fn handle_record(env: &Env, record: &Due, tasks: &KnownTasks) -> Result<(), HandlerError> {
    match record {
        Due::Session(id) => session::handle(env, *id, tasks).await,
        Due::Job { job, session } => job::handle(env, *job, *session).await,
        Due::Delivery(delivery) => {
            let message = Message::DeliverWebhook { delivery: *delivery };
            notification::send(env, message, Duration::ZERO).await;
            Ok(())
        }
        Due::Warm(id) => warm_task::retire(env, *id).await,
    }
}

#[cfg(test)]
mod tests;
