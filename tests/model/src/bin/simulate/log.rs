//! The log of a run: one line per change.

use domain::{job::Job, session::Session};
use testkit::Change;

/// A change as a line.
pub(crate) fn brief(change: &Change) -> String {
    match change {
        Change::Session(session) => of_session(session),
        Change::Job(job) => of_job(job),
        Change::Entry(entry) => {
            let (session, kind, actor) = (entry.session, entry.kind, entry.actor);
            format!("  entry {} of {session}: {kind:?} by {actor:?} {:?}", entry.seq, entry.cause)
        }
        Change::Delivery(delivery) => {
            let (payload, due) = (delivery.payload(), delivery.due_at());
            let (id, event, session) = (payload.id, payload.event.name(), payload.session);
            format!("  {id} {event} of {session}, due {due:?}")
        }
        Change::UserEvent(event) => {
            format!("  {} {} of {}", event.id, event.event.name(), event.session)
        }
        Change::Warm(warm) => format!("  {warm:?}"),
        Change::Turn { session, job, began } => {
            let what = if *began { "begins" } else { "ends" };
            format!("  the turn of {job} in {session} {what}")
        }
    }
}

fn of_session(session: &Session) -> String {
    let (id, status, due) = (session.id(), session.status().name(), session.due_at());
    let waits = session.waiter().map(|waiter| waiter.waits);
    let (common, task, reason) = (session.common(), session.task(), session.reason());
    let drains = common.drain.is_some();
    format!(
        "  {id} {status} {reason:?}, task {task:?}, attempt {}, due {due:?}, waits {waits:?}, drains \
         {drains}, expires {}",
        common.attempt, common.expires_at
    )
}

fn of_job(job: &Job) -> String {
    let (id, common, due) = (job.id(), job.common(), job.due_at());
    let (stdout, stderr) = job.output();
    let outcome = match job {
        Job::Finished(finished) => format!("{:?}", finished.outcome()),
        Job::Running(running) => format!("worker {}", running.lease().worker),
        Job::Queued(_) => String::new(),
    };
    format!(
        "  {id} of {}: {} {}, attempt {}, due {due:?}, kept {}+{} {outcome}",
        common.session,
        common.work.name(),
        job.status().name(),
        job.attempt(),
        stdout.stored,
        stderr.stored
    )
}
