//! The log, in words that fit a line.

use domain::{job::Job, session::Session};
use testkit::Change;

/// A write in a line.
pub(crate) fn brief(change: &Change) -> String {
    match change {
        Change::Session(session) => of_session(session),
        Change::Job(job) => of_job(job),
        Change::Entry(entry) => {
            let (session, what, by) = (entry.session, entry.what, entry.actor);
            format!("  entry {} of {session}: {what:?} by {by:?} {:?}", entry.seq, entry.cause)
        }
        Change::Delivery(delivery) => {
            let (parcel, due) = (delivery.parcel(), delivery.due_at());
            let (id, event, session) = (parcel.id, parcel.event.name(), parcel.session);
            format!("  {id} {event} of {session}, due {due:?}")
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
    let (head, task, reason) = (session.head(), session.task(), session.reason());
    let drains = head.drain.is_some();
    format!(
        "  {id} {status} {reason:?}, task {task:?}, attempt {}, due {due:?}, waits {waits:?}, drains \
         {drains}, expires {}",
        head.attempt, head.expires_at
    )
}

fn of_job(job: &Job) -> String {
    let (id, head, due) = (job.id(), job.head(), job.due_at());
    let (stdout, stderr) = job.output();
    let outcome = match job {
        Job::Finished(finished) => format!("{:?}", finished.outcome()),
        Job::Running(running) => format!("worker {}", running.lease().worker),
        Job::Queued(_) => String::new(),
    };
    format!(
        "  {id} of {}: {} {}, attempt {}, due {due:?}, kept {}+{} {outcome}",
        head.session,
        head.work.name(),
        job.status().name(),
        job.attempt(),
        stdout.stored,
        stderr.stored
    )
}
