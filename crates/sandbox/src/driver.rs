//! The driver: intents in, facts out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Cgroups;
use crate::host;
use crate::record::{Record, Records};
use crate::rootfs::Root;
use crate::rootless::IdMap;
use crate::task::{Desired, Network, Status, StopCode, TaskFacts, TaskId, TaskSpec, now_ms};

mod config;
mod end;
mod launch;
mod open;
mod plan;
mod pool;
mod watch;

pub use config::{Config, Image, OpenError, RunError, Runtime, StopError};
use pool::{Pool, Work};
use watch::Watch;

/// How long a stopped task stays listed if nobody calls [`Driver::forget`].
const KEEP_STOPPED: Duration = Duration::from_secs(3600);

/// Starts, watches and ends sandboxes. Dropping it leaves them alone.
#[derive(Debug)]
pub struct Driver {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

type Report = Box<dyn Fn(TaskFacts) + Send + Sync>;

struct Inner {
    config: Config,
    records: Records,
    cgroups: Cgroups,
    image: Root,
    /// Where we aren't root.
    ids: Option<IdMap>,
    tasks: Mutex<BTreeMap<TaskId, Arc<Mutex<Task>>>>,
    report: Report,
    pool: Pool,
    watch: Watch,
    /// Held for the life of the driver.
    _lock: File,
}

struct Task {
    record: Record,
    /// Of PID 1, while it runs.
    init: Option<Arc<OwnedFd>>,
}

impl Driver {
    /// Takes the directory over, with whatever a predecessor left in it: what runs is watched and
    /// reported again, what was to start or to stop goes on, and what no record explains is removed.
    ///
    /// `report` is called from the driver's threads, for each change; it must not block.
    ///
    /// # Errors
    /// `InUse` if a driver has the directory; `Unfit` if this host can't do what a sandbox needs.
    pub fn open(
        config: Config,
        report: impl Fn(TaskFacts) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let root = config.root.clone();
        fs::create_dir_all(&root).map_err(OpenError::Backend)?;
        let lock = open::lock(&root)?;
        let inner = Inner::new(config, Box::new(report), lock)?;
        let inner = Arc::new(inner);
        let mut threads = pool::start(&inner).map_err(OpenError::Backend)?;
        threads.push(watch::start(&inner).map_err(OpenError::Backend)?);
        let driver = Self { inner, threads };
        driver.inner.recover().map_err(OpenError::Backend)?;
        Ok(driver)
    }

    /// Accepts a task; its start goes on in the background. A token seen before names the task that
    /// it named then, whatever has become of it.
    ///
    /// # Errors
    /// `NoEgress` if the network asked for can't be had here; `Backend` if the intent can't be
    /// stored, in which case nothing was started.
    pub fn run(&self, spec: TaskSpec) -> Result<TaskId, RunError> {
        let id = TaskId::of_token(&spec.token);
        if spec.network == Network::Egress && !self.has_egress() {
            return Err(RunError::NoEgress);
        }
        self.inner.drop_expired();
        {
            let mut tasks = self.inner.tasks();
            if tasks.contains_key(&id) {
                return Ok(id);
            }
            let record = Record::new(id.clone(), spec);
            self.inner.records.save(&record).map_err(RunError::Backend)?;
            tasks.insert(id.clone(), Arc::new(Mutex::new(Task { record, init: None })));
        }
        self.inner.report_again(&id);
        self.inner.pool.push(Work::Launch(id.clone()));
        Ok(id)
    }

    /// Asks a task to end; returns at once. Stopping a stopped task succeeds.
    ///
    /// # Errors
    /// `Unknown` if no task has this id, or it was forgotten.
    pub fn stop(&self, id: &TaskId, reason: &str) -> Result<(), StopError> {
        let known = self.inner.change(id, |task| {
            if task.record.facts.desired == Desired::Stopped {
                return false;
            }
            task.record.end(StopCode::UserInitiated, reason);
            if task.record.facts.last_status == Status::Running {
                self.inner.terminate(task);
            }
            true
        });
        known.then_some(()).ok_or(StopError::Unknown)
    }

    /// The tasks of these ids that are known.
    pub fn describe(&self, ids: &[TaskId]) -> Vec<TaskFacts> {
        ids.iter().filter_map(|id| self.inner.facts(id)).collect()
    }

    /// All tasks, or those that one party started.
    pub fn list(&self, started_by: Option<&str>) -> Vec<TaskFacts> {
        self.inner.drop_expired();
        let tasks: Vec<_> = self.inner.tasks().values().cloned().collect();
        let facts = tasks.iter().map(|task| guard(task).record.facts.clone());
        facts.filter(|facts| started_by.is_none_or(|by| facts.started_by == by)).collect()
    }

    /// Drops a stopped task from the list. One that isn't stopped stays.
    pub fn forget(&self, id: &TaskId) {
        self.inner.forget(id);
    }
    /// Whether tasks can have [`Network::Egress`] here.
    pub fn has_egress(&self) -> bool {
        self.inner.config.runtime != Runtime::Bare && host::connector().is_ok()
    }

    /// Where the runner of a task listens, on the host.
    pub fn socket(&self, id: &TaskId) -> PathBuf {
        self.inner.socket(id)
    }

    /// How many processes of a task the kernel has killed for lack of memory so far.
    pub fn oom_kills(&self, id: &TaskId) -> u64 {
        self.inner.cgroups.of(id).oom_kills()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inner.pool.close();
        self.inner.watch.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        self.inner.cgroups.close();
    }
}

impl Inner {
    /// Asks the runner to end, and sets the hour at which it is made to.
    fn terminate(&self, task: &mut Task) {
        task.record.facts.last_status = Status::Stopping;
        if let Some(init) = &task.init {
            // If it is gone already, the watch will say so.
            let _ = pidfd_send_signal(init, Signal::TERM);
            self.watch.look_at(&task.record.facts.id, Instant::now() + self.config.grace);
        }
    }

    /// Applies a change, stores and reports it if there was one. Answers whether the task is known.
    fn change(&self, id: &TaskId, change: impl FnOnce(&mut Task) -> bool) -> bool {
        let Some(task) = self.task(id) else { return false };
        let mut task = guard(&task);
        if !change(&mut task) {
            return true;
        }
        task.record.facts.version += 1;
        if let Err(error) = self.records.save(&task.record) {
            // The next driver will find an older truth, and the world as it is.
            tracing::error!(task.id = %id, error = %error, "a task's record can't be written");
        }
        let facts = task.record.facts.clone();
        drop(task);
        (self.report)(facts);
        true
    }

    fn report_again(&self, id: &TaskId) {
        if let Some(facts) = self.facts(id) {
            (self.report)(facts);
        }
    }

    fn facts(&self, id: &TaskId) -> Option<TaskFacts> {
        self.task(id).map(|task| guard(&task).record.facts.clone())
    }

    fn task(&self, id: &TaskId) -> Option<Arc<Mutex<Task>>> {
        self.tasks().get(id).cloned()
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Mutex<Task>>>> {
        guard(&self.tasks)
    }

    fn forget(&self, id: &TaskId) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.get(id).cloned() else { return };
        if guard(&task).record.facts.last_status == Status::Stopped {
            if let Err(error) = self.records.remove(id) {
                tracing::warn!(task.id = %id, error = %error, "a task's record can't be removed");
            }
            tasks.remove(id);
        }
    }

    fn drop_expired(&self) {
        let keep = u64::try_from(KEEP_STOPPED.as_millis()).unwrap_or(u64::MAX);
        let limit = now_ms().saturating_sub(keep);
        let tasks: Vec<_> = self.tasks().values().cloned().collect();
        let facts = tasks.iter().map(|task| guard(task).record.facts.clone());
        for facts in facts.filter(|facts| facts.stopped_at_ms.is_some_and(|at| at < limit)) {
            self.forget(&facts.id);
        }
    }

    fn dir(&self, id: &TaskId) -> PathBuf {
        self.config.root.join(id.as_str())
    }

    fn socket(&self, id: &TaskId) -> PathBuf {
        self.dir(id).join("run/runner.sock")
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves whole values behind: each is replaced, never half changed.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
