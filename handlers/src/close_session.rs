//! Ends a session: its jobs, its slot, its record, and lets the next one in.
//!
//! Safe to repeat: each job ends by its own conditional write, and the record ends in one transaction
//! with the slot. Called where all is done, and also where an execution failed as a whole.

use std::time::Duration;

use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::{Failure as JobFailure, Job, Outcome},
    message::Message,
    ports::{BackendError, CommitError, Expect, Version, Versioned, Write},
    session::{Event, Placement, Reason, Session, Stopping, Transition},
    timeline::Actor,
};
use serde::Deserialize;

use crate::{
    Code, Env, HandlerError,
    next::Next,
    notification,
    outbox::{Batch, finish_job},
    tally,
    transition::{self, RetryOnConflict},
};

/// A transaction has its limit, and a session may be stopped any number of times.
const STOPS_AT_ONCE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    session_id: SessionId,
    /// The name of the error that brought the execution here, if one did.
    error: Option<String>,
}

pub(crate) async fn handle(env: &Env, input: Input) -> Result<Next, HandlerError> {
    let session = close(env, input.session_id, input.error.as_deref(), Actor::Workflow).await?;
    Ok(Next::of(&session, env.now()))
}

/// Closes a session whatever its state; `error` names what went wrong if nobody asked for the end.
pub(crate) async fn close(
    env: &Env,
    id: SessionId,
    error: Option<&str>,
    actor: Actor,
) -> Result<Session, HandlerError> {
    let mut rounds = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = rounds.next().await?;
        match value {
            Session::Ended(_) => {
                end_jobs(env, &value).await?;
                admit_next(env, &value).await?;
                return Ok(value);
            }
            Session::Stopping(stopping) => {
                let session = Session::from(stopping.clone());
                let_go_of_task(env, &stopping, id).await?;
                end_jobs(env, &session).await?;
                if let Some(ended) = finish(env, stopping, version, actor).await? {
                    admit_next(env, &ended).await?;
                    return Ok(ended);
                }
            }
            live @ (Session::Waiting(_)
            | Session::Queued(_)
            | Session::Provisioning(_)
            | Session::Starting(_)
            | Session::Ready(_)) => {
                let reason = live.overdue(env.now()).unwrap_or_else(|| reason_of(error));
                let stop = Event::Stop { reason, note: None };
                transition::apply(env, id, actor, &[stop]).await?;
            }
        }
    }
}

/// The task should be gone by now. If it is not, it is told so once more; should even that be of no
/// use, the sweep kills what runs for an ended session.
async fn let_go_of_task(env: &Env, stopping: &Stopping, id: SessionId) -> Result<(), HandlerError> {
    let tasks = match stopping.placement() {
        Placement::Placed(task) => vec![task.clone()],
        Placement::Asked => {
            let tasks = env.compute.list(Some(&id.to_string())).await?;
            tasks.into_iter().map(|facts| facts.task).collect()
        }
        Placement::None | Placement::Gone(..) => Vec::new(),
    };
    for task in tasks {
        if let Err(error) = env.compute.stop(&task, stopping.stop().reason.name()).await {
            tracing::warn!(session.id = %id, %error, "a task was left to the sweep");
        }
    }
    Ok(())
}

/// Ends what is open: what never ran is cancelled; what ran is lost unless its worker knew more.
pub(crate) async fn end_jobs(env: &Env, session: &Session) -> Result<(), HandlerError> {
    for concurrency in Concurrency::ALL {
        loop {
            let open = env.store.open_jobs(session.id(), concurrency, 100).await?;
            if open.is_empty() {
                break;
            }
            for job in open {
                end_job(env, session, job).await?;
            }
        }
    }
    Ok(())
}

async fn end_job(env: &Env, session: &Session, read: Versioned<Job>) -> Result<(), HandlerError> {
    let (id, now) = (read.value.id(), env.now());
    let job = match read.value {
        Job::Queued(job) => job.end(not_run(session), now),
        Job::Running(job) => {
            let message = "the session ended before the runner told how the command ended";
            let failure = JobFailure::new("session_ended", message);
            job.end(Outcome::Lost { failure }, None, now)
        }
        Job::Finished(_) => return Ok(()),
    };
    let turn = Write::EndTurn { session: session.id(), job: id };
    let batch = Batch::default().finished(env, session, job, read.version).write(turn);
    // If a worker was faster, the list that is read anew shows it.
    batch.put(env).await?;
    Ok(())
}

/// `None` if somebody else was faster.
async fn finish(
    env: &Env,
    stopping: Stopping,
    read: Version,
    actor: Actor,
) -> Result<Option<Session>, HandlerError> {
    let before = Session::from(stopping.clone());
    let commands = tally::of(env, before.id()).await?;
    let Transition { session, entries } = stopping.finish(env.stamp(actor));
    let transition = Transition { session: session.with_commands(commands).into(), entries };
    let mut batch = Batch::default().transition(env, &transition, Expect::At(read));
    if before.holds_slot() {
        batch = batch.write(Write::FreeSlot { user: before.user().clone() });
    }
    let session = &transition.session;
    batch = finish_job(env, batch, session, session.start_job(), not_run(session)).await?;
    let mut stops = session.common().stop_jobs.chunks(STOPS_AT_ONCE);
    batch = finish_stop_jobs(env, batch, session, stops.next().unwrap_or_default()).await?;
    if !batch.put(env).await? {
        return Ok(None);
    }
    for jobs in stops {
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
        let done = Outcome::Completed { exit: None, failure: None };
        batch = finish_job(env, batch, session, *job, done).await?;
    }
    Ok(batch)
}

/// How a job ends that never ran.
pub(crate) fn not_run(session: &Session) -> Outcome {
    let reason = session.reason().unwrap_or(Reason::Internal);
    let message = format!("the session ended first: {}", reason.name());
    let failure = JobFailure::new("session_ended", message);
    if reason.is_failure() && session.ready_at().is_none() {
        Outcome::Failed { failure: JobFailure { code: reason.name().to_owned(), ..failure } }
    } else {
        Outcome::Cancelled { exit: None, failure: Some(failure) }
    }
}

fn reason_of(error: Option<&str>) -> Reason {
    if error == Some(Code::CapacityUnavailable.name()) {
        Reason::CapacityUnavailable
    } else {
        Reason::Internal
    }
}

/// Gives free slots to those of this session's owner who wait, in order.
pub(crate) async fn admit_next(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let limit = env.policy.max_active_sessions;
    for Versioned { value, version } in env.store.waiting(session.user()).await? {
        let id = value.id();
        let Session::Waiting(waiting) = value else { continue };
        let transition = waiting.admit(env.stamp(Actor::Workflow)).any();
        let slot = Write::TakeSlot { user: session.user().clone(), limit };
        let batch = Batch::default().transition(env, &transition, Expect::At(version)).write(slot);
        match batch.commit(env).await {
            Ok(()) => {
                notification::send(env, Message::StartSession { session: id }, Duration::ZERO).await
            }
            Err(CommitError::Conflict) => {}
            Err(CommitError::QuotaReached) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
