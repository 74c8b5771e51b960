//! Follows one command from its start to its end, and stores what it says.

use std::time::Duration;

use domain::{
    Secret, TaskId, Timestamp,
    command::Command,
    job::{Failure as JobFailure, Job, LEASE, Outcome, Running, StreamStats},
    ports::{
        Attached, CommandEnd, CommandEvent, CommitError, EndCause, Expect, ShellError, Stream,
        Version, Write,
    },
    session::Session,
};

use super::{Claimed, release};
use crate::{Env, HandlerError, outbox::Batch};

/// Output is gathered for this long before it is stored, so that a chatty command costs few writes.
const GATHER: Duration = Duration::from_millis(50);
/// Output is stored at once when there is this much of it. Bytes.
const GATHER_AT_MOST: usize = 192 * 1024;
/// How long a runner that does not answer is left alone: so long for each attempt of the job, up to a
/// limit. Who asks costs calls of a budget that all sessions share.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_SELDOM: Duration = Duration::from_secs(15);

/// How a worker left a job.
pub(super) enum Left {
    /// Its end is on record.
    Finished,
    /// Another worker has it, or it was ended by others.
    Superseded,
    /// It goes on without us; somebody must look again after this long.
    HandedOn(Duration),
}

/// Starts the job's command or attaches to it, and stays until its end or `hold_until`.
pub(super) async fn attend(
    env: &Env,
    session: &Session,
    task: &TaskId,
    claimed: Claimed,
    hold_until: Timestamp,
) -> Result<Left, HandlerError> {
    let job = Job::from(claimed.job.clone());
    let Some(command) = job.command() else { return Ok(Left::Superseded) };
    let mut worker = Worker {
        env,
        session,
        task,
        job: claimed.job,
        version: claimed.version,
        fresh: Vec::new(),
    };
    match worker.follow(command, hold_until).await {
        Ok(left) => Ok(left),
        // The task's own event ends the session if it is gone.
        Err(Stumble::Shell(ShellError::NotReady | ShellError::Gone)) => {
            let pause = worker.let_go().await?;
            Ok(Left::HandedOn(pause))
        }
        Err(Stumble::Shell(error @ ShellError::Backend(_))) => {
            worker.let_go().await?;
            Err(error.into())
        }
        Err(Stumble::Commit(CommitError::Conflict)) => Ok(Left::Superseded),
        Err(Stumble::Commit(error)) => Err(error.into()),
    }
}

struct Worker<'a> {
    env: &'a Env,
    session: &'a Session,
    task: &'a TaskId,
    job: Running,
    version: Version,
    /// Output that is not stored yet: one piece of each stream, however often they take turns.
    fresh: Vec<(Stream, Vec<u8>)>,
}

enum Stumble {
    Shell(ShellError),
    Commit(CommitError),
}

impl From<ShellError> for Stumble {
    fn from(error: ShellError) -> Self {
        Self::Shell(error)
    }
}

impl From<CommitError> for Stumble {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl Worker<'_> {
    async fn follow(&mut self, command: &Command, hold_until: Timestamp) -> Result<Left, Stumble> {
        let mut attached = self.attach(command).await?;
        let mut store_at = None;
        loop {
            let now = self.env.now();
            let renew_at = self.job.lease().until - LEASE / 2;
            let until = store_at.unwrap_or(renew_at).min(hold_until);
            match attached.next(until).await? {
                Some(CommandEvent::Started) => {}
                Some(CommandEvent::Output { stream, offset, bytes }) => {
                    self.gather(stream, offset, bytes);
                    store_at = store_at.or(Some(now + GATHER));
                }
                Some(CommandEvent::Ended(end)) => {
                    self.finish(end).await?;
                    return Ok(Left::Finished);
                }
                None if self.env.now() >= hold_until => {
                    self.store(Some(self.env.now())).await?;
                    return Ok(Left::HandedOn(self.env.policy.hand_on_delay));
                }
                None => {
                    self.store(None).await?;
                    store_at = None;
                }
            }
            if self.gathered() >= GATHER_AT_MOST {
                self.store(None).await?;
                store_at = None;
            }
        }
    }

    async fn attach(&self, command: &Command) -> Result<Box<dyn Attached>, ShellError> {
        let (id, shell) = (self.job.common().id, &self.env.shell);
        if self.job.cancel_requested() {
            // Told before the start, the runner never runs it.
            shell.cancel(self.task, id).await?;
        }
        let (stdout, stderr) = self.job.output();
        let env = self.session.common().spec.env.expose();
        shell.start(self.task, id, command, env, (stdout.stored, stderr.stored)).await
    }

    /// Keeps what is new of it: after a reconnection the runner may repeat itself.
    fn gather(&mut self, stream: Stream, offset: u64, mut bytes: Vec<u8>) {
        let have = self.kept(stream).stored + self.fresh_of(stream);
        let known = usize::try_from(have.saturating_sub(offset)).unwrap_or(usize::MAX);
        if offset > have || known >= bytes.len() {
            return;
        }
        bytes.drain(..known);
        match self.fresh.iter_mut().find(|(of, _)| *of == stream) {
            Some((_, held)) => held.append(&mut bytes),
            None => self.fresh.push((stream, bytes)),
        }
    }

    fn kept(&self, stream: Stream) -> StreamStats {
        let (stdout, stderr) = self.job.output();
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    fn fresh_of(&self, stream: Stream) -> u64 {
        let of_stream = self.fresh.iter().filter(|(of, _)| *of == stream);
        of_stream.map(|(_, bytes)| bytes.len() as u64).sum()
    }

    fn gathered(&self) -> usize {
        self.fresh.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Stores what was gathered and renews the hold, or lets go of it at `leave`.
    async fn store(&mut self, leave: Option<Timestamp>) -> Result<(), CommitError> {
        loop {
            let (stdout, stderr) = self.advanced();
            let mut job = self.job.clone().progress(stdout, stderr, self.env.now());
            if let Some(now) = leave {
                job = job.release_lease(now);
            }
            let mut writes = self.output_writes();
            writes.push(Write::Job(Box::new(job.clone().into()), Expect::At(self.version)));
            match self.env.store.commit(writes).await {
                Ok(()) => {
                    self.version.0 += 1;
                    self.job = job;
                    self.fresh.clear();
                    return Ok(());
                }
                Err(CommitError::Conflict) => self.catch_up().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts the end on record, with the last of the output.
    async fn finish(&mut self, end: CommandEnd) -> Result<(), CommitError> {
        let (id, session) = (self.job.common().id, self.session.id());
        loop {
            let (mut stdout, mut stderr) = self.advanced();
            stdout.written = stdout.written.max(end.stdout_written);
            stderr.written = stderr.written.max(end.stderr_written);
            let now = self.env.now();
            let job = self.job.clone().progress(stdout, stderr, now);
            let job = job.end(outcome(&end), Some(end.usage), now);
            let mut batch = Batch::default().finished(self.env, self.session, job, self.version);
            for write in self.output_writes() {
                batch = batch.write(write);
            }
            match batch.write(Write::EndTurn { session, job: id }).commit(self.env).await {
                Ok(()) => break,
                Err(CommitError::Conflict) => self.catch_up().await?,
                Err(error) => return Err(error),
            }
        }
        release(self.env, self.task, id).await;
        Ok(())
    }

    /// Somebody wrote the record. A wish to cancel leaves it ours; anything else does not.
    async fn catch_up(&mut self) -> Result<(), CommitError> {
        let read = self.env.store.job(self.job.common().id).await?;
        match read.map(|read| (read.value, read.version)) {
            Some((Job::Running(job), version)) if job.attempt() == self.job.attempt() => {
                (self.job, self.version) = (job, version);
                Ok(())
            }
            _ => Err(CommitError::Conflict),
        }
    }

    /// Leaves the job to whoever comes after a pause; says how long that is.
    async fn let_go(&mut self) -> Result<Duration, HandlerError> {
        let pause = (TRY_AGAIN * self.job.attempt()).min(TRY_SELDOM);
        match self.store(Some(self.env.now() + pause)).await {
            Ok(()) | Err(CommitError::Conflict) => Ok(pause),
            Err(error) => Err(error.into()),
        }
    }

    fn advanced(&self) -> (StreamStats, StreamStats) {
        let (stdout, stderr) = self.job.output();
        (stdout.plus(self.fresh_of(Stream::Stdout)), stderr.plus(self.fresh_of(Stream::Stderr)))
    }

    fn output_writes(&self) -> Vec<Write> {
        let (stdout, stderr) = self.job.output();
        let (mut out_at, mut err_at) = (stdout.stored, stderr.stored);
        let mut writes = Vec::with_capacity(self.fresh.len() + 1);
        for (stream, bytes) in &self.fresh {
            let at = match stream {
                Stream::Stdout => &mut out_at,
                Stream::Stderr => &mut err_at,
            };
            writes.push(Write::Output {
                job: self.job.common().id,
                stream: *stream,
                offset: *at,
                bytes: Secret::new(bytes.clone()),
            });
            *at += bytes.len() as u64;
        }
        writes
    }
}

/// What the runner's word on a command's end means for its job.
fn outcome(end: &CommandEnd) -> Outcome {
    let exit = end.exit;
    match &end.cause {
        EndCause::Exited => Outcome::Completed { exit, failure: None },
        EndCause::OutOfMemory => {
            let failure = JobFailure::new("oom_killed", "the shell's memory limit was hit");
            Outcome::Completed { exit, failure: Some(failure) }
        }
        EndCause::TimedOut => Outcome::TimedOut { exit },
        EndCause::Cancelled => Outcome::Cancelled { exit, failure: None },
        EndCause::Shutdown => {
            let failure = JobFailure::new("session_ended", "the session ended while it ran");
            Outcome::Cancelled { exit, failure: Some(failure) }
        }
        EndCause::NotFound(message) => {
            Outcome::Failed { failure: JobFailure::new("command_not_found", message) }
        }
        EndCause::SpawnFailed(message) => {
            Outcome::Failed { failure: JobFailure::new("spawn_failed", message) }
        }
        EndCause::Unknown => {
            let message = "the runner does not know how the command ended";
            Outcome::Lost { failure: JobFailure::new("end_unknown", message) }
        }
    }
}
