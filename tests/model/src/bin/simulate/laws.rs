//! The twelve invariants of the lifecycle, by their numbers, and two that need no number.

use std::collections::HashMap;

use domain::{
    JobId, SessionId, TaskId, UserId, WarmId,
    job::{Job, Outcome},
    ports::Stream,
    session::Session,
    warm::Warm,
};
use testkit::{Change, Fakes};

use crate::world::QUOTA;

mod end;

/// What must never happen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Law {
    Once = 1,
    Accepted,
    Completed,
    Quota,
    Leaks,
    Tasks,
    Final,
    Due,
    Timeline,
    Webhooks,
    Serial,
    Warm,
    Answers,
    Panics,
}

/// A law was broken.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) law: usize,
    pub(crate) name: &'static str,
    /// Names to look for in the log.
    pub(crate) about: Vec<String>,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(law: Law, about: Vec<String>, what: String) -> Self {
        let name = match law {
            Law::Once => "no command runs twice",
            Law::Accepted => "every accepted job ends in exactly one final state",
            Law::Completed => "completed is said only if the runner said so",
            Law::Quota => "the quota is never exceeded, and 0 when all is over",
            Law::Leaks => "no task outlives its session's end for long",
            Law::Tasks => "no task without a record, no running record without a task",
            Law::Final => "a final record never changes",
            Law::Due => "every record that is not final has a due time",
            Law::Timeline => "the timeline is the transitions, in order, without gaps",
            Law::Webhooks => "each subscribed event is delivered or dead-lettered, by one id",
            Law::Serial => "serial jobs never overlap and keep their order",
            Law::Warm => "one warm task serves one session",
            Law::Answers => "every answer is a documented one, and the same for the same key",
            Law::Panics => "nothing panics",
        };
        Self { law: law as usize, name, about, what }
    }
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Laws {
    pub(crate) broken: Option<Violation>,
    sessions: HashMap<SessionId, Session>,
    jobs: HashMap<JobId, Job>,
    warms: HashMap<WarmId, Warm>,
    servants: HashMap<TaskId, SessionId>,
}

impl Laws {
    /// Looks at one write.
    pub(crate) fn see(&mut self, fakes: &Fakes, change: Change) -> Result<(), Violation> {
        match change {
            Change::Session(session) => self.see_session(fakes, *session),
            Change::Job(job) => self.see_job(fakes, *job),
            Change::Warm(warm) => self.see_warm(*warm),
            Change::Turn { session, job, began: true } => in_order(fakes, session, job),
            Change::Turn { .. } | Change::Entry(_) | Change::Delivery(_) => Ok(()),
        }
    }

    /// Looks at what runs.
    pub(crate) fn see_shells(fakes: &Fakes) -> Result<(), Violation> {
        if let Some(job) = fakes.shell.ran_twice() {
            return Err(Violation::new(Law::Once, about(fakes, job), format!("{job} ran twice")));
        }
        if let Some((first, second)) = fakes.shell.overlaps().first() {
            let what = format!("{second} began while {first} ran");
            return Err(Violation::new(Law::Serial, about(fakes, *second), what));
        }
        Ok(())
    }

    fn see_session(&mut self, fakes: &Fakes, session: Session) -> Result<(), Violation> {
        let id = session.id();
        let broken = |law, what: String| Err(Violation::new(law, vec![id.to_string()], what));
        let over = matches!(session, Session::Ended(_));
        if session.due_at().is_none() != over {
            return broken(Law::Due, format!("{session:?}"));
        }
        if let Some(before @ Session::Ended(_)) = self.sessions.get(&id)
            && before.clone().webhook_gone() != session.clone().webhook_gone()
        {
            return broken(Law::Final, format!("{before:?} became {session:?}"));
        }
        let timeline = fakes.store.entries(id);
        let chained = timeline.iter().zip(1..).all(|(entry, number)| {
            let before = (number > 1).then(|| timeline[number - 2].to);
            entry.seq as usize == number && entry.from == before
        });
        let last = timeline.last().map(|entry| entry.to);
        let whole = timeline.len() == session.common().entries as usize;
        if !chained || !whole || last != Some(session.status()) {
            return broken(Law::Timeline, format!("{session:?} does not follow from {timeline:?}"));
        }
        if let Some(task) = session.task()
            && let Some(other) = self.servants.insert(task.clone(), id)
            && other != id
        {
            return broken(Law::Warm, format!("{task} serves {other} and {id}"));
        }
        let user = session.user().clone();
        self.sessions.insert(id, session);
        self.check_quota(fakes, &user, id)
    }

    fn check_quota(&self, fakes: &Fakes, user: &UserId, id: SessionId) -> Result<(), Violation> {
        let counted = fakes.store.slots(user);
        let holds = |session: &&Session| session.user() == user && session.holds_slot();
        let held = self.sessions.values().filter(holds).count();
        if counted > QUOTA || held != counted as usize {
            let what = format!("{user} holds {held} slots of {QUOTA}, counted as {counted}");
            return Err(Violation::new(Law::Quota, vec![id.to_string()], what));
        }
        Ok(())
    }

    fn see_job(&mut self, fakes: &Fakes, job: Job) -> Result<(), Violation> {
        let id = job.id();
        let broken = |law, what: String| Err(Violation::new(law, about(fakes, id), what));
        if job.due_at().is_none() != matches!(job, Job::Finished(_)) {
            return broken(Law::Due, format!("{job:?}"));
        }
        if let Some(before @ Job::Finished(_)) = self.jobs.get(&id)
            && *before != job
        {
            return broken(Law::Final, format!("{before:?} became {job:?}"));
        }
        if let (Job::Finished(finished), Some(_)) = (&job, job.command()) {
            said_so(fakes, id, finished.outcome())?;
        }
        let session = self.sessions.get(&job.common().session);
        let is_new = !self.jobs.contains_key(&id) && job.command().is_some();
        if is_new && matches!(session, Some(Session::Stopping(_) | Session::Ended(_))) {
            return broken(Law::Accepted, format!("{id} was accepted by a session that ends"));
        }
        self.jobs.insert(id, job);
        Ok(())
    }

    fn see_warm(&mut self, warm: Warm) -> Result<(), Violation> {
        let id = warm.id();
        if let Some(before @ (Warm::Claimed(_) | Warm::Retired(_))) = self.warms.get(&id)
            && *before != warm
        {
            let what = format!("{before:?} became {warm:?}");
            return Err(Violation::new(Law::Warm, vec![id.to_string()], what));
        }
        self.warms.insert(id, warm);
        Ok(())
    }
}

/// An outcome that tells of an exit is what the runner saw, with all the output.
fn said_so(fakes: &Fakes, id: JobId, outcome: &Outcome) -> Result<(), Violation> {
    let broken = |what: String| Err(Violation::new(Law::Completed, about(fakes, id), what));
    if !matches!(outcome, Outcome::Completed { .. } | Outcome::TimedOut { .. }) {
        return Ok(());
    }
    let Some((end, stdout, stderr)) = fakes.shell.end_of(id) else {
        return broken(format!("the runner knows nothing of {outcome:?}"));
    };
    if end.exit != outcome.exit() {
        return broken(format!("the runner said {end:?}, not {outcome:?}"));
    }
    for (stream, said) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let stored = fakes.store.stored(id, stream);
        if stored != said {
            let (stored, said) = (stored.len(), said.len());
            return broken(format!("{stored} bytes of {} are stored of {said}", stream.name()));
        }
    }
    Ok(())
}

/// A serial job begins only if none that was accepted before it still waits or runs.
fn in_order(fakes: &Fakes, session: SessionId, job: JobId) -> Result<(), Violation> {
    let serial = |other: &Job| {
        other
            .command()
            .is_some_and(|command| command.concurrency == domain::command::Concurrency::Serial)
    };
    for read in fakes.store.all_jobs() {
        let other = read.value;
        let before = other.id() < job && other.common().session == session;
        if before && serial(&other) && other.due_at().is_some() {
            let what = format!("{job} began before {} was over", other.id());
            return Err(Violation::new(Law::Serial, about(fakes, job), what));
        }
    }
    Ok(())
}

fn about(fakes: &Fakes, job: JobId) -> Vec<String> {
    let session = fakes.store.job_now(job).map(|job| job.common().session.to_string());
    session.into_iter().chain([job.to_string()]).collect()
}
