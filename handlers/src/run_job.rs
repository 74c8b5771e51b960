//! Works off the jobs of a ready session, one after the other.
//!
//! Safe to repeat: a claim is conditional, a serial job needs the session's turn, and the runner
//! never runs a job id twice. A worker that dies leaves a lease that lapses; the next worker attaches
//! to the command where the stored output ends.

use std::time::Duration;

use domain::{
    JobId, SessionId, TaskId, Timestamp,
    command::Concurrency,
    job::{Job, Running},
    message::Message,
    ports::{Expect, Version, Versioned, Write},
    session::{Event, Session},
    timeline::Actor,
};

use crate::{Env, HandlerError, notification, outbox::Batch, transition};

mod follow_command;
mod output_buffer;

use follow_command::{FollowEnd, follow_command};

/// How many parallel jobs are read to find the next one, not counting those that run.
const PARALLEL_LIMIT: u32 = 64;
/// How many serial jobs are read. One would do, if the clocks that number the jobs did not differ: a
/// job that runs need not have the lowest number.
const SERIAL_LIMIT: u32 = 4;

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let hold_until = env.now() + env.policy.worker_hold;
    loop {
        let session = transition::read(env, id).await?.value;
        let Session::Ready(ready) = &session else { return Ok(()) };
        let open = candidates(env, id).await?;
        if open.is_empty() {
            return end_or_idle(env, &session).await;
        }
        let Some(claimed) = claim_next(env, id, open).await? else { return Ok(()) };
        match follow_command(env, &session, ready.task(), claimed, hold_until).await? {
            FollowEnd::Finished => {}
            FollowEnd::Superseded => return Ok(()),
            FollowEnd::HandedOn(delay) => {
                call_worker(env, id, delay).await;
                return Ok(());
            }
        }
        if env.now() >= hold_until {
            call_worker(env, id, Duration::ZERO).await;
            return Ok(());
        }
    }
}

async fn call_worker(env: &Env, session: SessionId, delay: Duration) {
    notification::send(env, Message::RunJob { session }, delay).await;
}

/// The open jobs among which the next one is: the oldest serial ones and the parallel ones.
async fn candidates(env: &Env, session: SessionId) -> Result<Vec<Versioned<Job>>, HandlerError> {
    let mut open = env.store.open_jobs(session, Concurrency::Serial, SERIAL_LIMIT).await?;
    open.extend(parallel_candidates(env, session).await?);
    Ok(open)
}

/// The oldest parallel jobs, in order of arrival. Jobs that run do not hide jobs that may run.
async fn parallel_candidates(
    env: &Env,
    session: SessionId,
) -> Result<Vec<Versioned<Job>>, HandlerError> {
    let mut limit = PARALLEL_LIMIT;
    loop {
        let open = env.store.open_jobs(session, Concurrency::Parallel, limit).await?;
        let running = open.iter().filter(|read| matches!(read.value, Job::Running(_))).count();
        let wanted = PARALLEL_LIMIT.saturating_add(u32::try_from(running).unwrap_or(u32::MAX));
        let is_all = u32::try_from(open.len()).is_ok_and(|found| found < limit);
        if is_all || limit >= wanted {
            return Ok(open);
        }
        limit = wanted;
    }
}

/// A job that this worker holds.
struct Claimed {
    job: Running,
    version: Version,
    /// No worker before has reached a runner for this job.
    unreached: bool,
}

/// Claims the first job that may run now. If more may run, another worker is called for them.
async fn claim_next(
    env: &Env,
    session: SessionId,
    open: Vec<Versioned<Job>>,
) -> Result<Option<Claimed>, HandlerError> {
    let now = env.now();
    let mut runnable = open
        .iter()
        .enumerate()
        .filter(|(at, read)| may_run(&open[..*at], &read.value, now))
        .map(|(_, read)| read.clone())
        .collect::<Vec<_>>()
        .into_iter();
    while let Some(read) = runnable.next() {
        let Some(claimed) = claim(env, session, read).await? else { continue };
        if runnable.len() > 0 {
            call_worker(env, session, Duration::ZERO).await;
        }
        return Ok(Some(claimed));
    }
    Ok(None)
}

/// A running job may be taken over when its lease has lapsed; a parallel job may start; a serial job
/// may start if there is no serial job before it.
fn may_run(before: &[Versioned<Job>], job: &Job, now: Timestamp) -> bool {
    match job {
        Job::Running(running) => running.lease_expired(now),
        Job::Queued(_) => !is_serial(job) || !before.iter().any(|read| is_serial(&read.value)),
        Job::Finished(_) => false,
    }
}

/// Whether the job runs only after earlier serial jobs of its session.
pub(crate) fn is_serial(job: &Job) -> bool {
    job.command().is_some_and(|command| command.concurrency == Concurrency::Serial)
}

/// Claims this job, or returns `None` if it has changed or the session's turn is taken.
async fn claim(
    env: &Env,
    session: SessionId,
    read: Versioned<Job>,
) -> Result<Option<Claimed>, HandlerError> {
    let is_serial = is_serial(&read.value);
    let unreached = match &read.value {
        Job::Queued(_) => true,
        Job::Running(job) => job.is_unreached(),
        Job::Finished(_) => false,
    };
    let job = match read.value {
        Job::Queued(job) => job.claim(&env.worker, env.now()),
        Job::Running(job) => job.take_over(&env.worker, env.now()),
        Job::Finished(_) => return Ok(None),
    };
    let id = job.common().id;
    let claimed = Write::Job(Box::new(job.clone().into()), Expect::At(read.version));
    let mut batch = Batch::default().write(claimed);
    if is_serial {
        batch = batch.write(Write::TakeTurn { session, job: id });
    }
    let version = Version(read.version.0 + 1);
    Ok(batch.put(env).await?.then_some(Claimed { job, version, unreached }))
}

/// Called when no job is open: a draining session ends, and the idle time of another one begins.
async fn end_or_idle(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let common = session.common();
    if let Some(drain) = &common.drain {
        let stop = Event::Stop { reason: drain.reason, note: drain.note.clone() };
        let stopped = transition::apply(env, common.id, Actor::Worker, &[stop]).await?;
        notification::resume_execution(env, &stopped.into_session()).await?;
    } else if common.spec.idle_timeout.is_some() {
        let read = transition::read(env, common.id).await?;
        if let Session::Ready(ready) = read.value {
            let session = Session::from(ready.go_idle(env.now()));
            if transition::put(env, session.clone(), read.version).await? {
                notification::resume_execution(env, &session).await?;
            }
        }
    }
    Ok(())
}

/// Tells the runner that it may drop the output of a job, which is stored. A failure costs only
/// memory of the shell.
async fn release(env: &Env, task: &TaskId, job: JobId) {
    if let Err(error) = env.shell.release(task, job).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(
            job.id = %job,
            task.id = %task,
            error,
            "failed to release the output of a stored job; the runner keeps it until the session ends"
        );
    }
}

#[cfg(test)]
mod tests;
