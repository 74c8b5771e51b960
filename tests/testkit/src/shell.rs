//! Runners that act out scripts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use domain::{
    JobId, TaskId, Timestamp,
    command::{Command, Program},
    ports::{Attached, Clock, CommandEnd, Shell, ShellError, Stream},
};

use crate::{Gate, MemoryCompute, SimClock, gate::locked};

mod attached;
mod script;

use attached::Connection;
use script::Process;
pub use script::Script;

type Casting = Box<dyn Fn(JobId, &Command) -> Script + Send + Sync>;

/// A runner in each task of a [`MemoryCompute`]. What a command does is a [`Script`].
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
    casting: Option<Casting>,
    silent: HashSet<TaskId>,
    overlaps: Vec<(JobId, JobId)>,
    latest: Option<Timestamp>,
}

impl MemoryShell {
    /// Runners in the tasks of `compute`.
    pub fn new(compute: Arc<MemoryCompute>, clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { inner: Arc::new(Inner { compute, clock, gate, state: Mutex::default() }) }
    }

    /// What this command line does. Those without a script succeed at once and print nothing.
    pub fn script(&self, line: &str, script: Script) {
        locked(&self.inner.state).scripts.insert(line.to_owned(), script);
    }

    /// Says what every command without a script of its own does.
    pub fn cast(&self, casting: impl Fn(JobId, &Command) -> Script + Send + Sync + 'static) {
        locked(&self.inner.state).casting = Some(Box::new(casting));
    }

    /// This task's runner does not answer, although its container runs.
    pub fn silence(&self, task: &TaskId) {
        locked(&self.inner.state).silent.insert(task.clone());
    }

    /// This task's runner answers again.
    pub fn wake(&self, task: &TaskId) {
        locked(&self.inner.state).silent.remove(task);
    }

    /// How many processes were made for each job, on all tasks together.
    pub fn runs(&self) -> BTreeMap<JobId, u32> {
        locked(&self.inner.state).runs.clone()
    }

    /// A job for which more than one process was made.
    pub fn ran_twice(&self) -> Option<JobId> {
        let state = locked(&self.inner.state);
        state.runs.iter().find(|(_, runs)| **runs > 1).map(|(job, _)| *job)
    }

    /// Serial jobs that began while another serial one still ran in the same task: first, second.
    pub fn overlaps(&self) -> Vec<(JobId, JobId)> {
        locked(&self.inner.state).overlaps.clone()
    }

    /// How the command of a job ended, if its runner can say so by now, and what it kept of stdout
    /// and stderr.
    pub fn end_of(&self, job: JobId) -> Option<(CommandEnd, Vec<u8>, Vec<u8>)> {
        let state = locked(&self.inner.state);
        let (_, process) = state.processes.iter().find(|((_, of), one)| *of == job && one.over)?;
        let (stdout, stderr) = (process.kept(Stream::Stdout), process.kept(Stream::Stderr));
        Some((process.end.clone(), stdout, stderr))
    }
}

impl Inner {
    /// A runner's own time never goes back.
    fn now(&self) -> Timestamp {
        let mut state = locked(&self.state);
        state.latest = state.latest.max(Some(self.clock.now()));
        state.latest.unwrap_or(Timestamp::MAX)
    }

    /// The runner's own rules: it must be there, and it must listen.
    fn reach(&self, task: &TaskId) -> Result<(), ShellError> {
        match self.compute.facts(task) {
            None => Err(ShellError::Gone),
            Some(facts) if facts.status == domain::task::TaskStatus::Stopped => {
                Err(ShellError::Gone)
            }
            Some(_) if !self.compute.is_running(task) => Err(ShellError::NotReady),
            Some(_) if locked(&self.state).silent.contains(task) => Err(ShellError::NotReady),
            Some(_) => Ok(()),
        }
    }

    fn begin(&self, task: &TaskId, job: JobId, command: &Command) {
        let now = self.now();
        let mut state = locked(&self.state);
        if state.processes.contains_key(&(task.clone(), job)) {
            return;
        }
        let script = state.script_of(job, command);
        let process = Process::begin(&script, command, now);
        state.note_overlaps(task, job, &process, now);
        *state.runs.entry(job).or_default() += 1;
        state.processes.insert((task.clone(), job), process);
    }

    /// False if this task's runner has not seen the job.
    fn with_process(&self, task: &TaskId, job: JobId, change: impl FnOnce(&mut Process)) -> bool {
        let mut state = locked(&self.state);
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

    fn script_of(&self, job: JobId, command: &Command) -> Script {
        let line = match command.program.expose() {
            Program::Shell(line) => line.clone(),
            Program::Argv(words) => words.join(" "),
        };
        match (self.scripts.get(&line), &self.casting) {
            (Some(script), _) => script.clone(),
            (None, Some(casting)) => casting(job, command),
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

    async fn start(
        &self,
        task: &TaskId,
        job: JobId,
        command: &Command,
        _env: &BTreeMap<String, String>,
        from: (u64, u64),
    ) -> Result<Box<dyn Attached>, ShellError> {
        let inner = &self.inner;
        let begin = || inner.reach(task).map(|()| inner.begin(task, job, command));
        inner.gate.pass("starting a command", begin).await??;
        Ok(Box::new(Connection::new(inner.clone(), task.clone(), job, from)))
    }

    async fn signal(&self, task: &TaskId, job: JobId, signal: i32) -> Result<(), ShellError> {
        let inner = &self.inner;
        let now = inner.now();
        let send = || {
            inner.reach(task)?;
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
            let mut state = locked(&inner.state);
            let process =
                state.processes.entry((task.clone(), job)).or_insert_with(|| Process::never(now));
            process.cancel(now);
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
}

impl fmt::Debug for MemoryShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryShell").field("runs", &self.runs()).finish_non_exhaustive()
    }
}
