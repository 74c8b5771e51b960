//! Checks each change of the records against the invariants of the lifecycle.

use std::collections::HashMap;

use domain::{
    JobId, SessionId, TaskId, UserId, WarmId,
    job::{Finished, Job, Outcome},
    ports::Stream,
    session::Session,
    warm::Warm,
};
use testkit::{Change, Fakes, Invariant};

use crate::simulation::QUOTA;

mod end;

/// A violation of an invariant.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    /// Ids and paths whose log lines are reported.
    pub(crate) about: Vec<String>,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) const fn new(invariant: Invariant, about: Vec<String>, what: String) -> Self {
        Self { invariant, about, what }
    }
}

/// The latest version of each record, and the first violation.
#[derive(Default)]
pub(crate) struct InvariantChecker {
    pub(crate) violation: Option<Violation>,
    sessions: HashMap<SessionId, Session>,
    jobs: HashMap<JobId, Job>,
    /// The place of each job in the order in which they were committed.
    places: HashMap<JobId, usize>,
    warms: HashMap<WarmId, Warm>,
    served: HashMap<TaskId, SessionId>,
}

impl InvariantChecker {
    /// Checks one change.
    pub(crate) fn check(&mut self, fakes: &Fakes, change: Change) -> Result<(), Violation> {
        match change {
            Change::Session(session) => self.check_session(fakes, *session),
            Change::Job(job) => self.check_job(fakes, *job),
            Change::Warm(warm) => self.check_warm(*warm),
            Change::Turn { session, job, began: true } => self.check_order(fakes, session, job),
            Change::Turn { .. } | Change::Entry(_) | Change::Delivery(_) | Change::UserEvent(_) => {
                Ok(())
            }
        }
    }

    /// Checks the commands that the runners started.
    pub(crate) fn check_shells(fakes: &Fakes) -> Result<(), Violation> {
        if let Some(job) = fakes.shell.ran_twice() {
            return Err(Violation::new(
                Invariant::NoCommandRunsTwice,
                about(fakes, job),
                format!("{job} ran twice"),
            ));
        }
        if let Some((first, second)) = fakes.shell.overlaps().first() {
            let what = format!("{second} began while {first} ran");
            return Err(Violation::new(
                Invariant::SerialJobsKeepTheirOrder,
                about(fakes, *second),
                what,
            ));
        }
        Ok(())
    }

    fn check_session(&mut self, fakes: &Fakes, session: Session) -> Result<(), Violation> {
        let id = session.id();
        let violation =
            |invariant, what: String| Err(Violation::new(invariant, vec![id.to_string()], what));
        let ended = matches!(session, Session::Ended(_));
        if session.due_at().is_none() != ended {
            return violation(Invariant::OpenRecordsHaveADueTime, format!("{session:?}"));
        }
        if let Some(before @ Session::Ended(_)) = self.sessions.get(&id)
            && before.clone().webhook_gone() != session.clone().webhook_gone()
        {
            return violation(
                Invariant::FinalRecordsNeverChange,
                format!("{before:?} became {session:?}"),
            );
        }
        let timeline = fakes.store.entries(id);
        let chained = timeline.iter().zip(1..).all(|(entry, number)| {
            let before = (number > 1).then(|| timeline[number - 2].to);
            entry.seq as usize == number && entry.from == before
        });
        let last = timeline.last().map(|entry| entry.to);
        let whole = timeline.len() == session.common().entries as usize;
        if !chained || !whole || last != Some(session.status()) {
            return violation(
                Invariant::TimelineHasNoGaps,
                format!("{session:?} does not follow from {timeline:?}"),
            );
        }
        if let Some(task) = session.task()
            && let Some(other) = self.served.insert(task.clone(), id)
            && other != id
        {
            return violation(
                Invariant::OneWarmTaskServesOneSession,
                format!("{task} serves {other} and {id}"),
            );
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
            return Err(Violation::new(
                Invariant::QuotaIsNeverExceeded,
                vec![id.to_string()],
                what,
            ));
        }
        Ok(())
    }

    fn check_job(&mut self, fakes: &Fakes, job: Job) -> Result<(), Violation> {
        let id = job.id();
        let violation =
            |invariant, what: String| Err(Violation::new(invariant, about(fakes, id), what));
        if job.due_at().is_none() != matches!(job, Job::Finished(_)) {
            return violation(Invariant::OpenRecordsHaveADueTime, format!("{job:?}"));
        }
        if let Some(before @ Job::Finished(_)) = self.jobs.get(&id)
            && *before != job
        {
            return violation(
                Invariant::FinalRecordsNeverChange,
                format!("{before:?} became {job:?}"),
            );
        }
        if let (Job::Finished(finished), Some(_)) = (&job, job.command()) {
            check_outcome(fakes, id, finished)?;
        }
        let session = self.sessions.get(&job.common().session);
        let is_new = !self.jobs.contains_key(&id) && job.command().is_some();
        if is_new && matches!(session, Some(Session::Stopping(_) | Session::Ended(_))) {
            return violation(
                Invariant::EachJobEndsInOneFinalState,
                format!("{id} was accepted by a session that ends"),
            );
        }
        let place = self.places.len();
        self.places.entry(id).or_insert(place);
        self.jobs.insert(id, job);
        Ok(())
    }

    /// A serial job begins only when no earlier serial job of its session is open. Of two requests at the same time
    /// the one with the lower id may be committed later, when the other job is just being picked.
    fn check_order(&self, fakes: &Fakes, session: SessionId, job: JobId) -> Result<(), Violation> {
        let serial = |other: &Job| {
            other
                .command()
                .is_some_and(|command| command.concurrency == domain::command::Concurrency::Serial)
        };
        let place = |id| self.places.get(&id).copied().unwrap_or(usize::MAX);
        for read in fakes.store.all_jobs() {
            let other = read.value;
            let id = other.id();
            let before = id < job && place(id) < place(job) && other.common().session == session;
            if before && serial(&other) && other.due_at().is_some() {
                let what = format!("{job} began before {id} was over");
                return Err(Violation::new(
                    Invariant::SerialJobsKeepTheirOrder,
                    about(fakes, job),
                    what,
                ));
            }
        }
        Ok(())
    }

    fn check_warm(&mut self, warm: Warm) -> Result<(), Violation> {
        let id = warm.id();
        if let Some(before @ (Warm::Claimed(_) | Warm::Retired(_))) = self.warms.get(&id)
            && *before != warm
        {
            let what = format!("{before:?} became {warm:?}");
            return Err(Violation::new(
                Invariant::OneWarmTaskServesOneSession,
                vec![id.to_string()],
                what,
            ));
        }
        self.warms.insert(id, warm);
        Ok(())
    }
}

/// An outcome with an exit is the one that the runner reported, with all the output.
fn check_outcome(fakes: &Fakes, id: JobId, finished: &Finished) -> Result<(), Violation> {
    let outcome = finished.outcome();
    let violation = |what: String| {
        Err(Violation::new(Invariant::CompletedOnlyIfTheRunnerReportedIt, about(fakes, id), what))
    };
    if !matches!(outcome, Outcome::Completed { .. } | Outcome::TimedOut { .. }) {
        return Ok(());
    }
    let Some((end, stdout, stderr)) = fakes.shell.end_of(id) else {
        return violation(format!("the runner does not know {outcome:?}"));
    };
    if end.exit != outcome.exit() || end.shell != finished.shell() {
        return violation(format!("the runner reported {end:?}, not {outcome:?}"));
    }
    for (stream, kept) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let stored = fakes.store.stored(id, stream);
        if stored != kept {
            let (stored, kept) = (stored.len(), kept.len());
            return violation(format!("{stored} bytes of {} are stored of {kept}", stream.name()));
        }
    }
    Ok(())
}

fn about(fakes: &Fakes, job: JobId) -> Vec<String> {
    let session = fakes.store.job_now(job).map(|job| job.common().session.to_string());
    session.into_iter().chain([job.to_string()]).collect()
}
