//! The runners in the tasks, over either transport.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    JobId, TaskId, Timestamp,
    command::Command,
    file::NewFile,
    job::{Exit, TerminalAccess},
    ports::{
        Attached, BackendError, CommandEnd, CommandEvent, CommandStart, EndCause, FilesError,
        Report, ReportedEnd, Shell, ShellError,
    },
};
use handlers::permissions::LINK;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::{
    Transport,
    clock::VirtualClock,
    deployment::{CALL, Deployment},
    quotas::Quotas,
    tasks::Tasks,
};

/// From the start of a container until its runner connects or answers.
const RUNNER_STARTS: Duration = Duration::from_millis(500);
/// How long it takes to open a channel of ECS Exec.
const OPEN_CHANNEL: Duration = Duration::from_millis(1_300);
/// How long a command runs.
const COMMAND: Duration = Duration::from_millis(100);
/// The longest pause of a runner that could not connect.
const LONGEST_PAUSE: f64 = 60.0;

/// All runners.
pub(crate) struct Runners {
    clock: VirtualClock,
    transport: Transport,
    quotas: Arc<Quotas>,
    tasks: Arc<Tasks>,
    deployment: OnceLock<Weak<Deployment>>,
    /// The tasks whose runner accepts commands.
    up: Mutex<HashSet<TaskId>>,
    commands: Mutex<HashSet<JobId>>,
}

impl Runners {
    pub(crate) fn new(
        clock: VirtualClock,
        transport: Transport,
        quotas: Arc<Quotas>,
        tasks: Arc<Tasks>,
    ) -> Self {
        Self {
            clock,
            transport,
            quotas,
            tasks,
            deployment: OnceLock::new(),
            up: Mutex::default(),
            commands: Mutex::default(),
        }
    }

    pub(crate) fn attach(&self, deployment: &Arc<Deployment>) {
        let _ = self.deployment.set(Arc::downgrade(deployment));
    }

    /// The container of a task runs.
    pub(crate) fn started(self: Arc<Self>, deployment: Arc<Deployment>, task: TaskId) {
        tokio::spawn(async move {
            sleep(RUNNER_STARTS).await;
            match self.transport {
                Transport::Exec => drop(self.up.lock().insert(task)),
                Transport::Link => self.connect(deployment, task).await,
            }
        });
    }

    /// Connects, again and again after growing pauses with full jitter.
    async fn connect(&self, deployment: Arc<Deployment>, task: TaskId) {
        let mut rng = deployment.rng();
        for attempt in 0_i32.. {
            if self.tasks.is_running(&task).is_none() {
                return;
            }
            // The authorizer and `$connect`, then `hello`.
            if self.quotas.connects.take()
                && deployment.run(LINK, async |_| sleep(CALL).await).await.is_ok()
            {
                self.up.lock().insert(task.clone());
                let told = deployment
                    .run(LINK, async |env| handlers::runner_connected(&env, &task, &[]).await)
                    .await;
                if matches!(told, Ok(Ok(()))) {
                    return;
                }
            }
            let pause = 2_f64.powi(attempt).min(LONGEST_PAUSE) * rng.f64();
            sleep(Duration::from_secs_f64(pause)).await;
        }
    }

    async fn call(&self, task: &TaskId) -> Result<(), ShellError> {
        match self.transport {
            Transport::Link => sleep(CALL).await,
            Transport::Exec => {
                sleep(CALL).await;
                if !self.quotas.modify.take() {
                    return Err(BackendError::new("opening a channel", "throttled").into());
                }
                sleep(OPEN_CHANNEL).await;
            }
        }
        match self.tasks.is_running(task) {
            None => Err(ShellError::Gone),
            Some(true) if self.up.lock().contains(task) => Ok(()),
            Some(_) => Err(ShellError::NotReady),
        }
    }

    /// The runner reports the end of a command until that is on record.
    async fn report(deployment: Arc<Deployment>, task: TaskId, job: JobId) {
        sleep(COMMAND).await;
        let ended = || ReportedEnd { end: end(), at: (0, 0) };
        loop {
            let report = Report { job, output: Vec::new(), end: Some(ended()) };
            let recorded = deployment
                .run(LINK, async |env| handlers::record_report(&env, &task, report).await)
                .await;
            if matches!(recorded, Ok(Ok(recorded)) if recorded.over) {
                return;
            }
            sleep(Duration::from_secs(5)).await;
        }
    }
}

fn end() -> CommandEnd {
    CommandEnd::without_output(EndCause::Exited, Some(Exit::Code(0)))
}

/// A channel that follows one command.
struct Channel {
    clock: VirtualClock,
    ends_at: Timestamp,
    started: bool,
}

#[async_trait]
impl Attached for Channel {
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        if !self.started {
            self.started = true;
            return Ok(Some(CommandEvent::Started));
        }
        tokio::time::sleep_until(self.clock.instant(self.ends_at.min(until))).await;
        let is_over = self.ends_at <= until;
        Ok(is_over.then(|| CommandEvent::Ended(end())))
    }
}

#[async_trait]
impl Shell for Runners {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        self.call(task).await
    }

    /// The sessions of the model have no files.
    async fn write_files(&self, _task: &TaskId, _files: &[NewFile]) -> Result<(), FilesError> {
        Err(FilesError::Interrupted)
    }

    async fn set_deadline(&self, task: &TaskId, _after: Duration) -> Result<(), ShellError> {
        self.call(task).await
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        _command: &Command,
        _env: &BTreeMap<String, String>,
        _from: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        self.call(task).await.map_err(|error| match error {
            ShellError::NotReady => ShellError::NotStarted { gone: false },
            ShellError::Gone => ShellError::NotStarted { gone: true },
            error @ (ShellError::NotStarted { .. } | ShellError::Backend(_)) => error,
        })?;
        match self.transport {
            Transport::Exec => {
                use domain::ports::Clock as _;
                let ends_at = self.clock.now() + COMMAND;
                let channel = Channel { clock: self.clock, ends_at, started: false };
                Ok(CommandStart::Attached(Box::new(channel)))
            }
            Transport::Link => {
                if self.commands.lock().insert(job)
                    && let Some(deployment) = self.deployment.get().and_then(Weak::upgrade)
                {
                    tokio::spawn(Self::report(deployment, task.clone(), job));
                }
                Ok(CommandStart::Posted)
            }
        }
    }

    async fn signal(&self, task: &TaskId, _job: JobId, _signal: i32) -> Result<(), ShellError> {
        self.call(task).await
    }

    async fn cancel(&self, task: &TaskId, _job: JobId) -> Result<(), ShellError> {
        self.call(task).await
    }

    async fn release(&self, _task: &TaskId, _job: JobId) -> Result<(), ShellError> {
        Ok(())
    }

    async fn open_terminal(
        &self,
        _task: &TaskId,
        _job: JobId,
    ) -> Result<TerminalAccess, ShellError> {
        Err(ShellError::NotReady)
    }
}
