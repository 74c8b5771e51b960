//! Follows one command from its start to its end, and stores its output and outcome.

use std::time::Duration;

use domain::{
    TaskId, Timestamp,
    command::Command,
    job::{Failure as JobFailure, Job, LEASE, Outcome, Running, StreamStats, Work},
    message::Message,
    ports::{
        BackendError, CommandEnd, CommandEvent, CommandStart, CommitError, EndCause, Expect,
        ShellError, Stream, Version, Write,
    },
    session::{Session, TerminalEvent},
    timeline::Actor,
};

use super::{Claimed, outcome, output_buffer::OutputBuffer, release};
use crate::{Env, HandlerError, notification, open_terminal::add_event, outbox::Batch};

/// The amount of gathered output that is stored at once. Bytes.
const GATHER_LIMIT: usize = 192 * 1024;
/// How long a job is left alone whose runner does not answer: this, times the attempts of the job, up
/// to the limit. An attempt costs calls of a rate limit that all sessions share.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(15);
/// How long a shell may refuse a command whose own time limit is shorter: it may be a server that restarts.
const MIN_REFUSAL: Duration = Duration::from_mins(5);

/// Why a worker stopped following a command.
pub(super) enum FollowEnd {
    /// The outcome is on record.
    Finished,
    /// Another worker has the job, or another handler has ended it.
    Superseded,
    /// The command goes on. Another worker must follow it after this delay.
    HandedOn(Duration),
    /// The command was sent to its runner, which reports by itself what becomes of it. If no report comes
    /// before the lease is over, the sweep calls a worker, who sends it again.
    Posted,
    /// The runner can't be reached or refuses. Another worker must try after this delay.
    Failed(Duration, HandlerError),
}

/// Starts the job's command or attaches to it, and follows it until its end or `hold_until`. A worker that takes
/// a command over leaves before that, once no output has come for the deployment's `worker_visit`.
pub(super) async fn follow_command(
    env: &Env,
    session: &Session,
    task: &TaskId,
    claimed: Claimed,
    hold_until: Timestamp,
) -> Result<FollowEnd, HandlerError> {
    let Some(command) = whole_command(env, &claimed.job).await? else {
        return Ok(FollowEnd::Superseded);
    };
    let mut worker = Worker::new(env, session, task, claimed);
    let followed = worker.follow(&command, hold_until).await;
    worker.unreached &= matches!(followed, Err(FollowError::Shell(ShellError::NotStarted { .. })));
    match followed {
        Ok(end) => Ok(end),
        Err(FollowError::Shell(ShellError::NotStarted { gone: true })) if worker.unreached => {
            worker.end_unstarted(EndCause::Cancelled).await
        }
        // The shell refused it again and again.
        Err(FollowError::Shell(ShellError::NotStarted { gone: false }))
            if worker.unreached && worker.elapsed() > command.timeout.max(MIN_REFUSAL) =>
        {
            let message = "the shell could not start it within its time limit".to_owned();
            worker.end_unstarted(EndCause::SpawnFailed(message)).await
        }
        // If the task is gone, its own event ends the session.
        Err(FollowError::Shell(
            ShellError::NotReady | ShellError::Gone | ShellError::NotStarted { .. },
        )) => Ok(FollowEnd::HandedOn(worker.give_up().await?)),
        Err(FollowError::Shell(error @ ShellError::Backend(_))) => {
            Ok(FollowEnd::Failed(worker.give_up().await?, error.into()))
        }
        Err(FollowError::Commit(CommitError::Conflict)) => Ok(FollowEnd::Superseded),
        Err(FollowError::Commit(error)) => Err(error.into()),
    }
}

/// The job's command; none if the job is over, or is no command.
async fn whole_command(env: &Env, job: &Running) -> Result<Option<Command>, HandlerError> {
    match &job.common().work {
        Work::Execute(command) if command.is_outline() => {
            Ok(env.store.command(job.common().id).await?)
        }
        Work::Execute(command) => Ok(Some((**command).clone())),
        Work::Start | Work::Stop => Ok(None),
    }
}

pub(super) struct Worker<'a> {
    pub(super) env: &'a Env,
    pub(super) session: &'a Session,
    pub(super) task: &'a TaskId,
    pub(super) job: Running,
    pub(super) version: Version,
    /// No worker so far has reached a runner for this job.
    pub(super) unreached: bool,
    /// Output that is not stored yet.
    pub(super) output: OutputBuffer,
    /// Nothing more can be stored, so further output is dropped.
    pub(super) discards: bool,
    /// Where stdout and stderr end with the output that was gathered and dropped.
    pub(super) reached: (u64, u64),
    /// Whether only this worker stores output of the job during its attempt.
    pub(super) is_only_writer: bool,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Shell(#[from] ShellError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl<'a> Worker<'a> {
    /// A worker that is the only writer of the job's output.
    pub(super) fn new(
        env: &'a Env,
        session: &'a Session,
        task: &'a TaskId,
        Claimed { job, version, unreached }: Claimed,
    ) -> Self {
        Self {
            env,
            session,
            task,
            job,
            version,
            unreached,
            output: OutputBuffer::default(),
            discards: false,
            reached: (0, 0),
            is_only_writer: true,
        }
    }
}

impl Worker<'_> {
    async fn follow(
        &mut self,
        command: &Command,
        hold_until: Timestamp,
    ) -> Result<FollowEnd, FollowError> {
        let CommandStart::Attached(mut attached) = self.attach(command).await? else {
            return Ok(FollowEnd::Posted);
        };
        let unreached = std::mem::take(&mut self.unreached);
        let mut store_at = None;
        let mut stay_until = self.stay_until(hold_until);
        loop {
            let now = self.env.now();
            let renew_at = self.job.lease().until - LEASE / 2;
            let until = store_at.unwrap_or(renew_at).min(stay_until);
            let event = attached.next(until).await.inspect_err(|error| {
                self.unreached = unreached && matches!(error, ShellError::NotStarted { .. });
            })?;
            match event {
                Some(CommandEvent::Started)
                    if command.terminal.is_some() && !self.job.was_opened() =>
                {
                    let job = self.job.common().id;
                    notification::send(self.env, Message::OpenTerminal { job }, Duration::ZERO)
                        .await;
                }
                Some(CommandEvent::Started) => {}
                Some(CommandEvent::Output { .. }) if self.discards => {}
                Some(CommandEvent::Output { stream, offset, mut bytes }) => {
                    bytes.truncate(self.room(stream, offset, command.max_bytes(stream)));
                    self.output.add(self.job.output(), stream, offset, bytes);
                    store_at = store_at.or(Some(now + self.env.policy.gather_time));
                    stay_until = self.stay_until(hold_until);
                }
                Some(CommandEvent::Ended(end)) => {
                    self.finish(end).await?;
                    return Ok(FollowEnd::Finished);
                }
                None if self.env.now() >= stay_until => return self.hand_on().await,
                None => {
                    self.store(None).await?;
                    store_at = None;
                }
            }
            if self.output.len() >= GATHER_LIMIT {
                self.store(None).await?;
                store_at = None;
            }
        }
    }

    async fn attach(&self, command: &Command) -> Result<CommandStart, ShellError> {
        let (id, shell) = (self.job.common().id, &self.env.shell);
        if self.job.cancel_requested() {
            // After a cancellation that comes before the start, the runner never runs the command.
            shell.cancel(self.task, id).await?;
        }
        let (stdout, stderr) = self.job.output();
        let env = self.session.common().spec.env.expose();
        let from = (stdout.end(), stderr.end());
        match (&command.files, &self.env.transfers) {
            (Some(files), Some(transfers)) => {
                let object = files.object(self.session.id(), id);
                let command = transfers.command(command, files, &object).await?;
                shell.start(self.task, id, &command, env, from).await
            }
            (Some(_), None) | (None, _) => shell.start(self.task, id, command, env, from).await,
        }
    }

    /// When a worker leaves a command that prints nothing more. The worker that started it, and one that waits
    /// for the end of a cancelled one, stay as long as they may.
    fn stay_until(&self, hold_until: Timestamp) -> Timestamp {
        if self.job.attempt() == 1 || self.job.cancel_requested() {
            hold_until
        } else {
            hold_until.min(self.env.now() + self.env.policy.worker_visit)
        }
    }

    /// Leaves a command that goes on to the next worker. Until that one is due no other one takes the job, so
    /// that each of several long commands of a session gets its visits, and none gets more.
    async fn hand_on(&mut self) -> Result<FollowEnd, FollowError> {
        let policy = &self.env.policy;
        let mut delay = policy.hand_on_delay_after(self.elapsed());
        self.store(Some(self.env.now() + delay)).await?;
        if self.job.cancel_requested() && delay > policy.hand_on_delay {
            delay = policy.hand_on_delay;
            self.store(Some(self.env.now() + delay)).await?;
        }
        Ok(FollowEnd::HandedOn(delay))
    }

    fn elapsed(&self) -> Duration {
        self.env.now().since(self.job.started_at())
    }

    /// Stores the gathered output and renews the lease, or ends the lease at `release_at`.
    pub(super) async fn store(&mut self, release_at: Option<Timestamp>) -> Result<(), CommitError> {
        loop {
            let (stdout, stderr) = self.advanced();
            let mut job = self.job.clone().progress(stdout, stderr, self.env.now());
            if let Some(at) = release_at {
                job = job.release_lease(at);
                if self.unreached {
                    job = job.unreached();
                }
            }
            let mut writes = self.output_writes();
            writes.push(Write::Job(Box::new(job.clone().into()), Expect::At(self.version)));
            match self.env.store.commit(writes).await {
                Ok(()) => {
                    self.version.0 += 1;
                    self.job = job;
                    self.output.clear();
                    return Ok(());
                }
                Err(CommitError::Conflict) => self.reread().await?,
                Err(CommitError::StorageExceeded | CommitError::DiskFull) => self.discard(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores the outcome with the last of the output, which the runner may drop then.
    pub(super) async fn finish(&mut self, end: CommandEnd) -> Result<(), CommitError> {
        self.record_end(end).await?;
        release(self.env, self.task, self.job.common().id).await;
        Ok(())
    }

    async fn record_end(&mut self, end: CommandEnd) -> Result<(), CommitError> {
        let (id, session) = (self.job.common().id, self.session.id());
        loop {
            let (mut stdout, mut stderr) = self.advanced();
            stdout.written = stdout.written.max(end.stdout_written);
            stderr.written = stderr.written.max(end.stderr_written);
            let now = self.env.now();
            let job = self.job.clone().progress(stdout, stderr, now);
            let job = job.end(self.outcome(&end), Some(end.usage), now);
            let job = job.with_background(end.background.clone()).with_shell(end.shell);
            let batch = Batch::default().finished_job(self.env, self.session, job, self.version);
            let batch = self.output_writes().into_iter().fold(batch, Batch::write);
            let batch = self.terminal_closed(batch).await?;
            match batch.write(Write::EndTurn { session, job: id }).commit(self.env).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict) => self.reread().await?,
                Err(CommitError::StorageExceeded | CommitError::DiskFull) => self.discard(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds the end of the job's terminal, if it has one, to the session's timeline.
    async fn terminal_closed(&self, batch: Batch) -> Result<Batch, BackendError> {
        if !self.job.was_opened() {
            return Ok(batch);
        }
        let (id, session) = (self.job.common().id, self.session.id());
        add_event(self.env, batch, session, TerminalEvent::Closed, id, Actor::Worker).await
    }

    /// Ends a job whose command was certainly not started and never will be.
    async fn end_unstarted(&mut self, cause: EndCause) -> Result<FollowEnd, HandlerError> {
        match self.record_end(CommandEnd::without_output(cause, None)).await {
            Ok(()) => Ok(FollowEnd::Finished),
            Err(CommitError::Conflict) => Ok(FollowEnd::Superseded),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the job again after a conflict. A request to cancel leaves the job with this worker;
    /// after any other change, the job is another worker's or over, and this fails. So it does where others
    /// may have stored output meanwhile.
    async fn reread(&mut self) -> Result<(), CommitError> {
        let read = self.env.store.job(self.job.common().id).await?;
        match read.map(|read| (read.value, read.version)) {
            Some((Job::Running(job), version))
                if self.is_only_writer && job.attempt() == self.job.attempt() =>
            {
                (self.job, self.version) = (job, version);
                Ok(())
            }
            _ => Err(CommitError::Conflict),
        }
    }

    /// Leaves the job to the next worker. Returns the delay after which the lease ends.
    async fn give_up(&mut self) -> Result<Duration, HandlerError> {
        let delay = (RETRY_DELAY * self.job.attempt()).min(RETRY_DELAY_MAX);
        match self.store(Some(self.env.now() + delay)).await {
            Ok(()) | Err(CommitError::Conflict) => Ok(delay),
            Err(error) => Err(error.into()),
        }
    }

    /// The statistics of stdout and stderr once the gathered output is stored.
    pub(super) fn advanced(&self) -> (StreamStats, StreamStats) {
        let (stdout, stderr) = self.output.advance(self.job.output());
        let reach = |stats: StreamStats, reached: u64| StreamStats {
            written: stats.written.max(reached),
            ..stats
        };
        (reach(stdout, self.reached.0), reach(stderr, self.reached.1))
    }

    /// The writes of the gathered output, on condition that it may be stored.
    fn output_writes(&self) -> Vec<Write> {
        let common = self.job.common();
        let mut writes = self.output.writes(common.id, self.job.output());
        if let (false, Some(limits)) = (writes.is_empty(), self.env.policy.storage) {
            let (user, session, bytes) =
                (common.user.clone(), common.session, self.output.len() as u64);
            writes.push(Write::RequireStorage { user, session, bytes, limits });
        }
        writes
    }

    /// Drops the gathered output, and all that follows: it can't be stored. The statistics will show that
    /// the output was cut.
    fn discard(&mut self) {
        self.output.clear();
        self.discards = true;
    }

    /// How many of the bytes at this offset may be stored, whatever the runner sends.
    pub(super) fn room(&self, stream: Stream, offset: u64, max_bytes: u64) -> usize {
        let (stdout, stderr) = self.advanced();
        let stats = if stream == Stream::Stdout { stdout } else { stderr };
        // After a reconnection the runner repeats bytes that are stored already.
        let known = stats.end().saturating_sub(offset);
        usize::try_from(max_bytes.saturating_sub(stats.stored) + known).unwrap_or(usize::MAX)
    }

    /// The outcome of the job, whose command ended so.
    fn outcome(&self, end: &CommandEnd) -> Outcome {
        let was_not_started = end.cause == EndCause::Cancelled && end.exit.is_none();
        if !was_not_started || self.job.cancel_requested() {
            return outcome::of(end);
        }
        // The runner refused to start it, because the task was shutting down.
        let message = "the session ended before the command was started";
        let failure = Some(JobFailure::new("session_ended", message));
        Outcome::Cancelled { exit: None, failure }
    }
}
