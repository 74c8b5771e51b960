//! The open jobs of a session that ends.

use domain::{
    command::Concurrency,
    job::{Failure as JobFailure, Job, Outcome},
    ports::{Versioned, Write},
    session::{Reason, Session},
};

use crate::{Env, HandlerError, outbox::Batch};

/// How many open jobs are read at once.
const PAGE: u32 = 100;

/// Ends the open jobs: one that certainly never ran is cancelled, one that ran is lost unless its worker
/// records an outcome first.
pub(crate) async fn end_jobs(env: &Env, session: &Session) -> Result<(), HandlerError> {
    for concurrency in Concurrency::ALL {
        loop {
            let open = env.store.open_jobs(session.id(), concurrency, PAGE).await?;
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
        Job::Running(job) if job.is_unreached() => job.end(not_run(session), None, now),
        Job::Running(job) => {
            let message = "the session ended before the runner reported how the command ended";
            let failure = JobFailure::new("session_ended", message);
            job.end(Outcome::Lost { failure }, None, now)
        }
        Job::Finished(_) => return Ok(()),
    };
    let turn = Write::EndTurn { session: session.id(), job: id };
    let batch = Batch::default().finished_job(env, session, job, read.version).write(turn);
    // If a worker was faster, the next read of the open jobs shows it.
    batch.put(env).await?;
    Ok(())
}

/// The outcome of a job that never ran because the session ended.
pub(crate) fn not_run(session: &Session) -> Outcome {
    let reason = session.reason().unwrap_or(Reason::Internal);
    let message = match session.note() {
        Some(note) if reason == Reason::FilesRefused => format!("a file can't be written: {note}"),
        Some(_) | None => format!("the session ended first: {}", reason.name()),
    };
    let failure = JobFailure::new("session_ended", message);
    if reason.is_failure() && session.ready_at().is_none() {
        Outcome::Failed { failure: JobFailure { code: reason.name().to_owned(), ..failure } }
    } else {
        Outcome::Cancelled { exit: None, failure: Some(failure) }
    }
}
