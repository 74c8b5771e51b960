//! Works off the jobs of a ready session, one after the other.
//!
//! Safe to repeat: a claim is conditional, a serial job needs the session's turn, and the runner
//! never runs a job id twice. A worker that dies leaves a lease that lapses; the next one attaches
//! where the stored output ends.

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

mod attend;

use attend::Left;

/// How many parallel jobs are looked at to find the next one, beside those that run.
const LOOK_AT: u32 = 64;
/// Of the serial jobs only the first counts. More, because the clocks that name them may differ: one
/// that runs need not be the first.
const LOOK_AT_SERIAL: u32 = 4;

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let hold_until = env.now() + env.policy.worker_hold;
    loop {
        let session = transition::read(env, id).await?.value;
        let Session::Ready(ready) = &session else { return Ok(()) };
        let open = look(env, session.id()).await?;
        if open.is_empty() {
            settle_down(env, &session).await?;
            return Ok(());
        }
        let task = ready.task().clone();
        let Some(claimed) = claim_next(env, session.id(), open).await? else {
            return Ok(());
        };
        let left = attend::attend(env, &session, &task, claimed, hold_until).await?;
        match left {
            Left::Finished => {}
            Left::Superseded => return Ok(()),
            Left::HandedOn(delay) => {
                let again = Message::RunJob { session: session.id() };
                notification::send(env, again, delay).await;
                return Ok(());
            }
        }
        if env.now() >= hold_until {
            notification::send(env, Message::RunJob { session: session.id() }, Duration::ZERO)
                .await;
            return Ok(());
        }
    }
}

/// The jobs among which the next one is: the first serial ones and the parallel ones.
async fn look(env: &Env, session: SessionId) -> Result<Vec<Versioned<Job>>, HandlerError> {
    let mut open = env.store.open_jobs(session, Concurrency::Serial, LOOK_AT_SERIAL).await?;
    open.extend(parallel(env, session).await?);
    Ok(open)
}

/// The first parallel jobs, in order of arrival. Those that run must not hide those that may.
async fn parallel(env: &Env, session: SessionId) -> Result<Vec<Versioned<Job>>, HandlerError> {
    let mut limit = LOOK_AT;
    loop {
        let open = env.store.open_jobs(session, Concurrency::Parallel, limit).await?;
        let running = open.iter().filter(|read| matches!(read.value, Job::Running(_))).count();
        let wanted = LOOK_AT.saturating_add(u32::try_from(running).unwrap_or(u32::MAX));
        let all = u32::try_from(open.len()).is_ok_and(|found| found < limit);
        if all || limit >= wanted {
            return Ok(open);
        }
        limit = wanted;
    }
}

/// A job in this worker's hands.
struct Claimed {
    job: Running,
    version: Version,
}

/// Claims the first job that may run now. Where more may, another worker is called for.
async fn claim_next(
    env: &Env,
    session: SessionId,
    open: Vec<Versioned<Job>>,
) -> Result<Option<Claimed>, HandlerError> {
    let now = env.now();
    let mut may_run = open
        .iter()
        .enumerate()
        .filter(|(at, read)| may_run(&open[..*at], &read.value, now))
        .map(|(_, read)| read.clone())
        .collect::<Vec<_>>()
        .into_iter();
    while let Some(read) = may_run.next() {
        let Some(claimed) = claim(env, session, read).await? else { continue };
        if may_run.len() > 0 {
            notification::send(env, Message::RunJob { session }, Duration::ZERO).await;
        }
        return Ok(Some(claimed));
    }
    Ok(None)
}

/// A job whose worker is gone may be taken over; a parallel one may begin; a serial one may begin if
/// no serial one is before it.
fn may_run(before: &[Versioned<Job>], job: &Job, now: Timestamp) -> bool {
    match job {
        Job::Running(running) => running.lease_expired(now),
        Job::Queued(_) => !is_serial(job) || !before.iter().any(|read| is_serial(&read.value)),
        Job::Finished(_) => false,
    }
}

fn is_serial(job: &Job) -> bool {
    job.command().is_some_and(|command| command.concurrency == Concurrency::Serial)
}

async fn claim(
    env: &Env,
    session: SessionId,
    read: Versioned<Job>,
) -> Result<Option<Claimed>, HandlerError> {
    let serial = is_serial(&read.value);
    let job = match read.value {
        Job::Queued(job) => job.claim(&env.worker, env.now()),
        Job::Running(job) => job.take_over(&env.worker, env.now()),
        Job::Finished(_) => return Ok(None),
    };
    let id = job.common().id;
    let claimed = Write::Job(Box::new(job.clone().into()), Expect::At(read.version));
    let mut batch = Batch::default().write(claimed);
    if serial {
        batch = batch.write(Write::TakeTurn { session, job: id });
    }
    let version = Version(read.version.0 + 1);
    Ok(batch.put(env).await?.then_some(Claimed { job, version }))
}

/// Nothing left to do: a draining session ends now, another one's idle time begins.
async fn settle_down(env: &Env, session: &Session) -> Result<(), HandlerError> {
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

/// The runner may drop what is stored. Of no consequence if it fails.
async fn release(env: &Env, task: &TaskId, job: JobId) {
    if let Err(error) = env.shell.release(task, job).await {
        tracing::debug!(job.id = %job, %error, "the runner keeps a result that is stored");
    }
}

#[cfg(test)]
mod tests;
