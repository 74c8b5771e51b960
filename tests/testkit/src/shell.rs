//! Runners in memory whose commands follow scripts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    JobId, Secret, TaskId, Timestamp,
    command::{Command, Program},
    file::{FileRefusal, NewFile},
    job::{ShellUse, TerminalAccess},
    ports::{Clock, CommandEnd, CommandStart, FilesError, Shell, ShellError, Stream},
};
use parking_lot::Mutex;

use crate::{Gate, MemoryCompute, SimClock};

mod attached;
mod link;
mod script;

use attached::Connection;
use link::{Frame, Links};
use script::Process;
pub use script::Script;

type DefaultScript = Box<dyn Fn(JobId, &Command) -> Script + Send + Sync>;

/// A runner in each task of a [`MemoryCompute`]. A [`Script`] says what a command does.
pub struct MemoryShell {
    inner: Arc<Inner>,
}

struct Inner {
    compute: Arc<MemoryCompute>,
    clock: SimClock,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: HashMap<(TaskId, JobId), Process>,
    runs: BTreeMap<JobId, u32>,
    scripts: HashMap<String, Script>,
    default_script: Option<DefaultScript>,
    silent: HashSet<TaskId>,
    deadlines: HashMap<TaskId, Timestamp>,
    /// The shells with a name in each task.
    shells: HashSet<(TaskId, String)>,
    files: Vec<NewFile>,
    refused_files: Option<FileRefusal>,
    overlaps: Vec<(JobId, JobId)>,
    latest: Option<Timestamp>,
    /// None where callers connect to the runners.
    links: Option<Links>,
}

impl MemoryShell {
    /// Runners in the tasks of `compute`.
    pub fn new(compute: Arc<MemoryCompute>, clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { inner: Arc::new(Inner { compute, clock, gate, state: Mutex::default() }) }
    }

    /// Sets the script of a command line. A command without a script succeeds at once without output.
    pub fn script(&self, line: &str, script: Script) {
        self.inner.state.lock().scripts.insert(line.to_owned(), script);
    }

    /// Sets the script of every command line that has no script of its own.
    pub fn script_by_default(
        &self,
        default_script: impl Fn(JobId, &Command) -> Script + Send + Sync + 'static,
    ) {
        self.inner.state.lock().default_script = Some(Box::new(default_script));
    }

    /// Makes this task's runner unreachable, although its container runs.
    pub fn silence(&self, task: &TaskId) {
        self.inner.state.lock().silent.insert(task.clone());
    }

    /// Makes this task's runner reachable again.
    pub fn wake(&self, task: &TaskId) {
        self.inner.state.lock().silent.remove(task);
    }

    /// The files that were written, each as often as it was written.
    pub fn files(&self) -> Vec<NewFile> {
        self.inner.state.lock().files.clone()
    }

    /// Refuses to write files from now on.
    pub fn refuse_files(&self, refusal: FileRefusal) {
        self.inner.state.lock().refused_files = Some(refusal);
    }

    /// When this task was last told to end.
    pub fn deadline(&self, task: &TaskId) -> Option<Timestamp> {
        self.inner.state.lock().deadlines.get(task).copied()
    }

    /// The number of processes started for each job, in all tasks together.
    pub fn runs(&self) -> BTreeMap<JobId, u32> {
        self.inner.state.lock().runs.clone()
    }

    /// A job for which more than one process was started.
    pub fn ran_twice(&self) -> Option<JobId> {
        let state = self.inner.state.lock();
        state.runs.iter().find(|(_, runs)| **runs > 1).map(|(job, _)| *job)
    }

    /// Pairs of serial jobs of one task whose runs overlapped: earlier, later.
    pub fn overlaps(&self) -> Vec<(JobId, JobId)> {
        self.inner.state.lock().overlaps.clone()
    }

    /// How the command of a job ended, and what the runner kept of stdout and stderr; `None` while the
    /// command runs.
    pub fn end_of(&self, job: JobId) -> Option<(CommandEnd, Vec<u8>, Vec<u8>)> {
        let state = self.inner.state.lock();
        let (_, process) = state.processes.iter().find(|((_, of), one)| *of == job && one.over)?;
        let (stdout, stderr) = (process.kept(Stream::Stdout), process.kept(Stream::Stderr));
        Some((process.end.clone(), stdout, stderr))
    }
}

impl Inner {
    /// The runner's own time, which never goes back.
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock();
        state.latest = state.latest.max(Some(self.clock.now()));
        state.latest.unwrap_or(Timestamp::MAX)
    }

    /// Fails as the port requires if the task has no reachable runner.
    fn reach(&self, task: &TaskId) -> Result<(), ShellError> {
        match self.compute.facts(task) {
            None => Err(ShellError::Gone),
            Some(facts) if facts.status == domain::task::TaskStatus::Stopped => {
                Err(ShellError::Gone)
            }
            Some(_) if !self.compute.is_running(task) => Err(ShellError::NotReady),
            Some(_) if self.state.lock().silent.contains(task) => Err(ShellError::NotReady),
            Some(_) => Ok(()),
        }
    }

    fn begin(&self, task: &TaskId, job: JobId, command: &Command) {
        let now = self.now();
        let mut state = self.state.lock();
        if state.processes.contains_key(&(task.clone(), job)) {
            return;
        }
        let script = state.script_of(job, command);
        let shell = state.use_shell(task, &script, command);
        let process = Process::begin(&script, command, shell, now);
        state.note_overlaps(task, job, &process, now);
        *state.runs.entry(job).or_default() += 1;
        state.processes.insert((task.clone(), job), process);
    }

    fn cancel(&self, task: &TaskId, job: JobId, now: Timestamp) {
        let mut state = self.state.lock();
        let process =
            state.processes.entry((task.clone(), job)).or_insert_with(|| Process::never(now));
        process.cancel(now);
    }

    /// False if this task's runner does not know the job.
    fn with_process(&self, task: &TaskId, job: JobId, change: impl FnOnce(&mut Process)) -> bool {
        let mut state = self.state.lock();
        let process = state.processes.get_mut(&(task.clone(), job));
        process.map(change).is_some()
    }
}

impl State {
    fn note_overlaps(&mut self, task: &TaskId, job: JobId, process: &Process, now: Timestamp) {
        for ((of, other), running) in &mut self.processes {
            running.over |= running.ends_at <= now;
            if of == task && process.serial && running.serial && !running.over {
                self.overlaps.push((*other, job));
            }
        }
    }

    /// Finds or starts the shell that the command shares, which ends with it if its script says so.
    fn use_shell(&mut self, task: &TaskId, script: &Script, command: &Command) -> Option<ShellUse> {
        let shell = (task.clone(), command.shared_shell.clone()?);
        let has_ended = script.ends_its_shell();
        let is_new = !self.shells.contains(&shell);
        if has_ended {
            self.shells.remove(&shell);
        } else {
            self.shells.insert(shell);
        }
        Some(ShellUse { is_new, has_ended })
    }

    fn script_of(&self, job: JobId, command: &Command) -> Script {
        let line = match command.program.expose() {
            Program::Shell(line) => line.clone(),
            Program::Argv(argv) => argv.join(" "),
            Program::LoginShell => String::new(),
        };
        match (self.scripts.get(&line), &self.default_script) {
            (Some(script), _) => script.clone(),
            (None, Some(default_script)) => default_script(job, command),
            (None, None) => Script::default(),
        }
    }
}

#[async_trait]
impl Shell for MemoryShell {
    async fn probe(&self, task: &TaskId) -> Result<(), ShellError> {
        let inner = &self.inner;
        inner.gate.pass("probing a shell", || inner.reach(task)).await?
    }

    async fn write_files(&self, task: &TaskId, files: &[NewFile]) -> Result<(), FilesError> {
        let inner = &self.inner;
        let write = || {
            inner.reach(task).map_err(|_| FilesError::Interrupted)?;
            let mut state = inner.state.lock();
            if let Some(refusal) = state.refused_files {
                return Err(FilesError::Refused(refusal, "files[0]: refused".to_owned()));
            }
            state.files.extend_from_slice(files);
            Ok(())
        };
        inner.gate.pass("writing files", write).await?
    }

    async fn set_deadline(&self, task: &TaskId, after: Duration) -> Result<(), ShellError> {
        let inner = &self.inner;
        let set = || {
            inner.reach(task)?;
            inner.state.lock().deadlines.insert(task.clone(), inner.clock.now() + after);
            Ok(())
        };
        inner.gate.pass("setting a deadline", set).await?
    }

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        _env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        let inner = &self.inner;
        let begin = || {
            inner.reach(task)?;
            let is_posted = inner.post(task, || Frame::Run(job, Box::new(command.clone()), from));
            if !is_posted {
                inner.begin(task, job, command);
            }
            Ok(is_posted)
        };
        let is_posted =
            inner.gate.pass("starting a command", begin).await?.map_err(|error| match error {
                ShellError::NotReady => ShellError::NotStarted { gone: false },
                ShellError::Gone => ShellError::NotStarted { gone: true },
                error @ (ShellError::NotStarted { .. } | ShellError::Backend(_)) => error,
            })?;
        if is_posted {
            return Ok(CommandStart::Posted);
        }
        let connection = Connection::new(inner.clone(), task.clone(), job, from);
        Ok(CommandStart::Attached(Box::new(connection)))
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let inner = &self.inner;
        let now = inner.now();
        let send = || {
            inner.reach(task)?;
            if inner.post(task, || Frame::Signal(job, signal)) {
                return Ok(());
            }
            let known = inner.with_process(task, job, |one| one.signal(signal, now));
            if known { Ok(()) } else { Err(ShellError::NotReady) }
        };
        inner.gate.pass("sending a signal", send).await?
    }

    async fn cancel(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        let inner = &self.inner;
        let now = inner.now();
        let cancel = || {
            inner.reach(task)?;
            if !inner.post(task, || Frame::Cancel(job)) {
                inner.cancel(task, job, now);
            }
            Ok(())
        };
        inner.gate.pass("cancelling a command", cancel).await?
    }

    async fn release(&self, task: &TaskId, job: JobId) -> Result<(), ShellError> {
        let inner = &self.inner;
        let release = || {
            inner.reach(task)?;
            inner.with_process(task, job, Process::release);
            Ok(())
        };
        inner.gate.pass("releasing a command", release).await?
    }

    async fn open_terminal(&self, task: &TaskId, job: JobId) -> Result<TerminalAccess, ShellError> {
        let inner = &self.inner;
        let now = inner.now();
        let open = || {
            inner.reach(task)?;
            Ok(TerminalAccess {
                channel: format!("terminal-{job}"),
                stream_url: format!("wss://127.0.0.1/v1/data-channel/terminal-{job}"),
                token: Secret::new("token".to_owned()),
                expires_at: now + Duration::from_mins(1),
            })
        };
        inner.gate.pass("opening a terminal", open).await?
    }
}

impl fmt::Debug for MemoryShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryShell").field("runs", &self.runs()).finish_non_exhaustive()
    }
}
