//! What runners report by themselves, where they open the connection to the service.
//!
//! Safe to repeat, in any order: output is stored where the stored output ends and nowhere else, the end is
//! recorded only with all output before it, and each write is conditional on the record that was read.

use std::time::Duration;

use domain::{
    JobId, SessionId, TaskId, WarmId,
    command::{Command, Concurrency},
    job::{Job, MAX_RUNNING, Running, StreamStats, Work},
    message::Message,
    ports::{CommitError, Expect, Report, ReportedOutput, Stream, Version, Versioned, Write},
    session::Session,
    task::{TaskFacts, TaskStatus},
    warm::Warm,
};

use super::{Claimed, call_worker, follow_command::Worker, handle};
use crate::{Code, Env, HandlerError, notification, observe_task, outbox::Batch};

/// How long a command may be silent before it is asked for.
const RECHECK_AFTER: Duration = Duration::from_mins(5);
/// How often a report is applied to a record that others change at the same time.
const ATTEMPTS: u32 = 5;

/// What is on record of a job after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Where the stored part of stdout ends.
    pub stdout: u64,
    /// Where the stored part of stderr ends.
    pub stderr: u64,
    /// Whether nothing more is wanted of the job.
    pub over: bool,
}

/// What one attempt to apply a report did.
enum Applied {
    Recorded(Recorded),
    Finished,
    /// Others have changed the record.
    Conflict,
}

pub(crate) async fn record_report(
    env: &Env,
    task: &TaskId,
    report: Report,
) -> Result<Recorded, HandlerError> {
    let over = Recorded { stdout: 0, stderr: 0, over: true };
    for _ in 0..ATTEMPTS {
        let Some(Versioned { value, version }) = env.store.job(report.job).await? else {
            return Ok(over);
        };
        let Job::Running(job) = value else { return Ok(over) };
        let id = job.common().session;
        let Some(session) = env.store.session(id).await?.map(|read| read.value) else {
            return Ok(over);
        };
        if session.task() != Some(task) {
            // A command of another task, or of a session whose task was replaced.
            tracing::warn!(job.id = %report.job, task.id = %task, "refused a report of another task");
            return Ok(over);
        }
        match apply(env, &session, task, (job, version), &report).await? {
            Applied::Recorded(recorded) => return Ok(recorded),
            Applied::Finished => {
                // The next job of the session. The end is on record, whatever becomes of this.
                if let Err(error) = handle(env, id).await {
                    error.log("run-job");
                    call_worker(env, id, Duration::ZERO).await;
                }
                return Ok(over);
            }
            Applied::Conflict => {}
        }
    }
    let message = format!("job {} was modified concurrently {ATTEMPTS} times", report.job);
    Err(HandlerError::new(Code::Conflict, message))
}

async fn apply(
    env: &Env,
    session: &Session,
    task: &TaskId,
    (job, version): (Running, Version),
    report: &Report,
) -> Result<Applied, HandlerError> {
    let claimed = Claimed { job, version, unreached: false };
    let worker = Worker::new(env, session, task, claimed);
    let mut worker = Worker { is_only_writer: false, ..worker };
    if report.end.is_none()
        && !worker.job.was_opened()
        && command(&worker.job).is_some_and(|command| command.terminal.is_some())
    {
        let open = Message::OpenTerminal { job: report.job };
        notification::send(env, open, Duration::ZERO).await;
    }
    report.output.iter().for_each(|piece| worker.add(piece));
    let (stdout, stderr) = worker.advanced();
    let (stdout, stderr) = (position(stdout), position(stderr));
    let end = report.end.clone().filter(|end| stdout >= end.at.0 && stderr >= end.at.1);
    let is_over = end.is_some();
    let stored = match end {
        Some(end) => worker.finish(end.end).await,
        None => worker.store(Some(env.now() + RECHECK_AFTER)).await,
    };
    match stored {
        Ok(()) if is_over => Ok(Applied::Finished),
        Ok(()) => Ok(Applied::Recorded(Recorded { stdout, stderr, over: false })),
        Err(CommitError::Conflict) => Ok(Applied::Conflict),
        Err(error) => Err(error.into()),
    }
}

impl Worker<'_> {
    /// Adds the part of a reported piece that is new, if what comes before it is stored.
    fn add(&mut self, piece: &ReportedOutput) {
        let (stdout, stderr) = self.advanced();
        let stats = if piece.stream == Stream::Stdout { stdout } else { stderr };
        if piece.from > position(stats) {
            return;
        }
        // What follows a part that could not be stored is not stored either.
        if position(stats) == stats.end() {
            let mut bytes = piece.bytes.clone();
            bytes.truncate(self.room(piece.stream, piece.offset, self.max_bytes(piece.stream)));
            self.output.add(self.job.output(), piece.stream, piece.offset, bytes);
        }
        let reached = match piece.stream {
            Stream::Stdout => &mut self.reached.0,
            Stream::Stderr => &mut self.reached.1,
        };
        *reached = piece.end().max(*reached);
    }

    fn max_bytes(&self, stream: Stream) -> u64 {
        command(&self.job).map_or(0, |command| command.max_bytes(stream))
    }
}

fn command(job: &Running) -> Option<&Command> {
    match &job.common().work {
        Work::Execute(command) => Some(command),
        Work::Start | Work::Stop => None,
    }
}

/// Where the output ends that was reported, stored or not.
fn position(stats: StreamStats) -> u64 {
    stats.written.max(stats.end())
}

pub(crate) async fn runner_connected(
    env: &Env,
    task: &TaskId,
    known: &[JobId],
) -> Result<(), HandlerError> {
    for facts in env.compute.describe(std::slice::from_ref(task)).await? {
        // The runner speaks, whatever the provider knows so far.
        let status = facts.status.max(TaskStatus::Running);
        let facts = TaskFacts { status, ..facts };
        observe_task::observe(env, &facts).await?;
        if let Some(session) = session_of(env, &facts).await? {
            send_again(env, session, known).await?;
        }
    }
    Ok(())
}

/// The session that the task serves, if it serves one.
async fn session_of(env: &Env, facts: &TaskFacts) -> Result<Option<SessionId>, HandlerError> {
    if let Ok(id) = facts.started_by.parse::<WarmId>() {
        return Ok(match env.store.warm(id).await?.map(|read| read.value) {
            Some(Warm::Claimed(warm)) => Some(warm.session()),
            Some(Warm::Starting(_) | Warm::Available(_) | Warm::Retired(_)) | None => None,
        });
    }
    Ok(facts.started_by.parse().ok())
}

/// Lets running commands that the runner does not report be sent to it again, now and not when they are due:
/// the requests to start them, or the process that reported them, were lost.
async fn send_again(env: &Env, session: SessionId, known: &[JobId]) -> Result<(), HandlerError> {
    let limit = u32::try_from(MAX_RUNNING).unwrap_or(u32::MAX);
    let mut is_any = false;
    for concurrency in Concurrency::ALL {
        for Versioned { value, version } in env.store.open_jobs(session, concurrency, limit).await?
        {
            let Job::Running(job) = value else { continue };
            if known.contains(&job.common().id) || job.lease_expired(env.now()) {
                continue;
            }
            let job = job.release_lease(env.now());
            let write = Write::Job(Box::new(job.into()), Expect::At(version));
            // If the job has changed meanwhile, it was reported or is sent now.
            is_any |= Batch::default().write(write).put(env).await?;
        }
    }
    if is_any {
        call_worker(env, session, Duration::ZERO).await;
    }
    Ok(())
}
