//! Works off the jobs of a ready session, one after the other.
//!
//! Safe to repeat: a claim is conditional, a serial job needs the session's turn, and the runner
//! never runs a job id twice. A worker that dies leaves a lease that lapses; the next worker attaches
//! to the command where the stored output ends.

use std::{fmt, time::Duration};

use domain::{
    JobId, SessionId, TaskId, Timestamp, UserId,
    command::Concurrency,
    job::{Job, LEASE, MAX_RUNNING, Running},
    message::Message,
    ports::{CommitError, Expect, Version, Versioned, Write},
    session::{Event, Session},
    timeline::Actor,
};

use crate::{Env, HandlerError, notification, outbox::Batch, transition};

mod claims;
mod follow_command;
mod outcome;
mod output_buffer;
mod record_report;

pub use claims::Claims;
pub(crate) use claims::{claim_new, claims_when_accepted, leave_claim, post_claimed, write_claim};
use follow_command::{FollowEnd, follow_command};
pub use record_report::Recorded;
pub(crate) use record_report::{record_report, runner_connected};

/// How many parallel jobs are read to find the next one, not counting those that run.
const PARALLEL_LIMIT: u32 = 64;
/// How many serial jobs are read. One would do, if the clocks that number the jobs did not differ: a
/// job that runs need not have the lowest number.
const SERIAL_LIMIT: u32 = 4;
/// How often a job is read again that others change while a worker picks it up.
const PICK_UP_ATTEMPTS: u32 = 4;

/// What a worker found among the jobs of a session.
#[derive(Debug)]
pub enum Claim {
    /// A job that this worker holds from now on.
    Job(Box<ClaimedJob>),
    /// The user or the session runs as many commands as the limit allows. Its jobs stay queued.
    TooManyRunning(UserId),
    /// No job may run now.
    Nothing,
}

/// A job that a worker holds, and its session as it was.
pub struct ClaimedJob {
    session: Session,
    task: TaskId,
    claimed: Claimed,
}

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let first = claim_job(env, id).await?;
    work_off(env, id, first).await
}

/// Runs a job that was claimed when it was accepted, then the session's other jobs.
pub(crate) async fn run_claimed(
    env: &Env,
    session: SessionId,
    job: JobId,
) -> Result<(), HandlerError> {
    match pick_up(env, session, job).await? {
        Some(claimed) => work_off(env, session, Claim::Job(Box::new(claimed))).await,
        // Another worker has it, or it was cancelled: other jobs may be next.
        None => handle(env, session).await,
    }
}

/// The job that the transaction which accepted it has claimed, held by this worker from now on. None if another
/// worker has it, or if it or the session is over.
async fn pick_up(
    env: &Env,
    session: SessionId,
    job: JobId,
) -> Result<Option<ClaimedJob>, HandlerError> {
    let session = transition::read(env, session).await?.value;
    let Session::Ready(ready) = &session else { return Ok(None) };
    let task = ready.task().clone();
    // A request to cancel it may have changed it.
    for _ in 0..PICK_UP_ATTEMPTS {
        let Some(Versioned { value: Job::Running(job), version }) = env.store.job(job).await?
        else {
            return Ok(None);
        };
        let Some(job) = job.pick_up(&env.worker, env.now()) else { return Ok(None) };
        let write = Write::Job(Box::new(job.clone().into()), Expect::At(version));
        if Batch::default().write(write).put(env).await? {
            let claimed = Claimed { job, version: Version(version.0 + 1), unreached: true };
            return Ok(Some(ClaimedJob { session, task, claimed }));
        }
    }
    Ok(None)
}

/// Follows a claimed job, then those that the session has after it, as long as one worker may.
async fn work_off(env: &Env, id: SessionId, first: Claim) -> Result<(), HandlerError> {
    let hold_until = env.now() + env.policy.worker_hold;
    let mut next = first;
    while let Claim::Job(job) = next {
        match job.follow_until(env, hold_until).await? {
            FollowEnd::Finished | FollowEnd::Posted => {}
            FollowEnd::Superseded => return Ok(()),
            FollowEnd::HandedOn(delay) => {
                call_worker(env, id, delay).await;
                return Ok(());
            }
            FollowEnd::Failed(_, error) => return Err(error),
        }
        if env.now() >= hold_until {
            call_worker(env, id, Duration::ZERO).await;
            return Ok(());
        }
        next = claim_job(env, id).await?;
    }
    Ok(())
}

/// Claims the next job of a session that may run.
pub(crate) async fn claim_job(env: &Env, id: SessionId) -> Result<Claim, HandlerError> {
    let (session, has_open) = if env.claims.as_ref().is_some_and(|claims| claims.has(id)) {
        (transition::read(env, id).await?.value, true)
    } else {
        transition::read_with_open_jobs(env, id).await?
    };
    let Session::Ready(ready) = &session else {
        env.claims.iter().for_each(|claims| claims.forget(id));
        return Ok(Claim::Nothing);
    };
    let task = ready.task().clone();
    if let Some((claimed, has_more)) = env.claims.as_ref().and_then(|claims| claims.take(id)) {
        if has_more {
            call_worker(env, id, Duration::ZERO).await;
        }
        return Ok(Claim::Job(Box::new(ClaimedJob { session, task, claimed })));
    }
    let open = if has_open { candidates(env, id).await? } else { Vec::new() };
    if open.is_empty() {
        end_or_idle(env, &session).await?;
        return Ok(Claim::Nothing);
    }
    Ok(match claim_next(env, id, &open).await? {
        Next::Claimed(claimed) => {
            Claim::Job(Box::new(ClaimedJob { session, task, claimed: *claimed }))
        }
        Next::NoRoom => Claim::TooManyRunning(session.user().clone()),
        Next::Nothing => Claim::Nothing,
    })
}

impl ClaimedJob {
    /// The session.
    pub const fn session(&self) -> SessionId {
        self.session.id()
    }

    /// The session's owner.
    pub const fn user(&self) -> &UserId {
        self.session.user()
    }

    /// Runs the job's command, or attaches to it, and follows it to its end; then a worker is called for
    /// the session's next job. After an error too, a worker is called, once the job may be taken over.
    pub async fn follow(self, env: &Env) -> Result<(), HandlerError> {
        let id = self.session.id();
        let hold_until = env.now() + env.policy.worker_hold;
        let (delay, result) = match self.follow_until(env, hold_until).await {
            Ok(FollowEnd::Finished) => (Duration::ZERO, Ok(())),
            Ok(FollowEnd::Superseded | FollowEnd::Posted) => return Ok(()),
            Ok(FollowEnd::HandedOn(delay)) => (delay, Ok(())),
            Ok(FollowEnd::Failed(delay, error)) => (delay, Err(error)),
            // The lease was not given up.
            Err(error) => (LEASE, Err(error)),
        };
        call_worker(env, id, delay).await;
        result
    }

    async fn follow_until(
        self,
        env: &Env,
        hold_until: Timestamp,
    ) -> Result<FollowEnd, HandlerError> {
        follow_command(env, &self.session, &self.task, self.claimed, hold_until).await
    }
}

impl fmt::Debug for ClaimedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = self.claimed.job.common().id;
        f.debug_struct("ClaimedJob").field("job", &job).finish_non_exhaustive()
    }
}

/// Calls a worker for a command that no worker follows at present, instead of when its next visit is due: it
/// may end now.
pub(crate) async fn visit_now(env: &Env, id: JobId) -> Result<(), HandlerError> {
    let Some(read) = env.store.job(id).await? else { return Ok(()) };
    let Job::Running(job) = read.value else { return Ok(()) };
    if !job.is_released() {
        return Ok(());
    }
    let session = job.common().session;
    let due = Write::Job(Box::new(job.release_lease(env.now()).into()), Expect::At(read.version));
    // If the job has changed meanwhile, a worker follows it.
    if Batch::default().write(due).put(env).await? {
        call_worker(env, session, Duration::ZERO).await;
    }
    Ok(())
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

/// Whether a worker that is called now would claim a job of this session.
pub(crate) async fn has_runnable_job(env: &Env, session: SessionId) -> Result<bool, HandlerError> {
    let open = candidates(env, session).await?;
    Ok(runnable(&open, env.now()).next().is_some())
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
#[derive(Debug)]
struct Claimed {
    job: Running,
    version: Version,
    /// No worker before has reached a runner for this job.
    unreached: bool,
}

/// The result of an attempt to claim a job.
enum Next {
    Claimed(Box<Claimed>),
    /// The limit of commands that run at once is reached.
    NoRoom,
    Nothing,
}

/// Claims the first job that may run now. If more may run, another worker is called for them.
async fn claim_next(
    env: &Env,
    session: SessionId,
    open: &[Versioned<Job>],
) -> Result<Next, HandlerError> {
    let mut runnable = runnable(open, env.now()).cloned().collect::<Vec<_>>().into_iter();
    let mut last = if has_room(open) { Next::Nothing } else { Next::NoRoom };
    while let Some(read) = runnable.next() {
        match claim(env, read).await? {
            Next::Claimed(claimed) => {
                if runnable.len() > 0 {
                    call_worker(env, session, Duration::ZERO).await;
                }
                return Ok(Next::Claimed(claimed));
            }
            Next::NoRoom => last = Next::NoRoom,
            Next::Nothing => {}
        }
    }
    Ok(last)
}

/// Those of a session's open jobs that may run now, in their order.
fn runnable(open: &[Versioned<Job>], now: Timestamp) -> impl Iterator<Item = &Versioned<Job>> {
    let has_room = has_room(open);
    let runnable = open.iter().enumerate().filter(move |(at, read)| {
        may_run(&open[..*at], &read.value, now)
            && (has_room || matches!(read.value, Job::Running(_)))
    });
    runnable.map(|(_, read)| read)
}

/// Whether the runner accepts one job more.
fn has_room(open: &[Versioned<Job>]) -> bool {
    open.iter().filter(|read| matches!(read.value, Job::Running(_))).count() < MAX_RUNNING
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

/// Claims this job. Nothing is claimed if the job has changed or the session's turn is taken.
async fn claim(env: &Env, read: Versioned<Job>) -> Result<Next, HandlerError> {
    let unreached = match &read.value {
        Job::Queued(_) => true,
        Job::Running(job) => job.is_unreached(),
        Job::Finished(_) => false,
    };
    let is_new = matches!(read.value, Job::Queued(_));
    let job = match read.value {
        Job::Queued(job) => job.claim(&env.worker, env.now()),
        Job::Running(job) => job.take_over(&env.worker, env.now()),
        Job::Finished(_) => return Ok(Next::Nothing),
    };
    let batch = write_claim(env, Batch::default(), &job, Expect::At(read.version), is_new);
    let version = Version(read.version.0 + 1);
    match batch.commit(env).await {
        Ok(()) => Ok(Next::Claimed(Box::new(Claimed { job, version, unreached }))),
        Err(CommitError::Conflict) => Ok(Next::Nothing),
        Err(CommitError::TooManyRunning) => Ok(Next::NoRoom),
        Err(error) => Err(error.into()),
    }
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
