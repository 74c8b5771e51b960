//! The driver: accepts tasks and reports their states.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Cgroups;
use crate::host;
use crate::record::{Record, Records};
use crate::rootfs::Root;
use crate::rootless::IdMap;
use crate::task::{Desired, Network, Status, StopCode, TaskFacts, TaskId, TaskSpec, now_ms};

mod config;
mod launch;
mod monitor;
mod open;
mod plan;
mod pool;
mod teardown;

pub use config::{Config, Image, OpenError, Program, RunError, Runtime, StopError};
use monitor::Monitor;
use pool::{Pool, Work};

/// How long a stopped task stays listed without a call of [`Driver::forget`].
const STOPPED_RETENTION: Duration = Duration::from_secs(3600);

/// Starts, monitors and stops sandboxes. Dropping the driver does not stop them.
#[derive(Debug)]
pub struct Driver {
    pub(crate) inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

type Report = Box<dyn Fn(TaskFacts) + Send + Sync>;

pub(crate) struct Inner {
    config: Config,
    records: Records,
    pub(crate) cgroups: Cgroups,
    image: Root,
    /// The id mapping of sandboxes, if this process isn't root.
    ids: Option<IdMap>,
    tasks: Mutex<BTreeMap<TaskId, Arc<Mutex<Task>>>>,
    report: Report,
    pool: Pool,
    monitor: Monitor,
    /// An exclusive flock(2) on the directory, held while the driver lives.
    _lock: File,
}

struct Task {
    record: Record,
    /// The pidfd of PID 1, while it runs.
    init: Option<Arc<OwnedFd>>,
}

impl Driver {
    /// Opens the directory and continues the work of an earlier driver on it: monitors and reports
    /// running sandboxes, continues interrupted starts and stops, and removes sandboxes without a record.
    ///
    /// `report` is called from the driver's threads, for each change; it must not block.
    ///
    /// # Errors
    /// `InUse` if another driver uses the directory; `Unsupported` if this host lacks something that a
    /// sandbox needs; `PathTooLong`, `Image` or `Backend`.
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
        threads.push(monitor::start(&inner).map_err(OpenError::Backend)?);
        let driver = Self { inner, threads };
        driver.inner.recover().map_err(OpenError::Backend)?;
        Ok(driver)
    }

    /// Accepts a task and starts it in the background. If the token was used before, returns the id of
    /// that task, in whatever state the task is.
    ///
    /// # Errors
    /// `NoEgress` if this host can't provide the requested network; `Backend` if the task can't be
    /// recorded. Nothing was started then.
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

    /// Requests that a task stops; returns at once. Stopping a stopped task succeeds.
    ///
    /// # Errors
    /// `Unknown` if no task has this id, or the task was forgotten.
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

    /// The known tasks among these ids.
    pub fn describe(&self, ids: &[TaskId]) -> Vec<TaskFacts> {
        ids.iter().filter_map(|id| self.inner.facts(id)).collect()
    }

    /// All tasks, or those with this owner.
    pub fn list(&self, started_by: Option<&str>) -> Vec<TaskFacts> {
        self.inner.drop_expired();
        let tasks: Vec<_> = self.inner.tasks().values().cloned().collect();
        let facts = tasks.iter().map(|task| task.lock().record.facts.clone());
        facts.filter(|facts| started_by.is_none_or(|by| facts.started_by == by)).collect()
    }

    /// Removes a stopped task from the list. Does nothing if the task isn't stopped.
    pub fn forget(&self, id: &TaskId) {
        self.inner.forget(id);
    }

    /// Whether this host can provide [`Network::Egress`].
    pub fn has_egress(&self) -> bool {
        self.inner.config.runtime != Runtime::Bare && host::find_pasta().is_ok()
    }

    /// The path, on the host, of the socket on which the task's runner listens.
    pub fn socket(&self, id: &TaskId) -> PathBuf {
        self.inner.socket(id)
    }

    /// Number of the task's processes that the kernel's out-of-memory killer has killed so far.
    pub fn oom_kills(&self, id: &TaskId) -> u64 {
        self.inner.oom_kills(id)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inner.pool.close();
        self.inner.monitor.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has already printed its message.
            let _ = thread.join();
        }
        self.inner.cgroups.close();
    }
}

impl Inner {
    /// Sends SIGTERM to PID 1, and schedules SIGKILL.
    fn terminate(&self, task: &mut Task) {
        task.record.facts.last_status = Status::Stopping;
        if let Some(init) = &task.init {
            // Fails if PID 1 has ended; the monitor reports that.
            let _ = pidfd_send_signal(init, Signal::TERM);
            self.monitor.schedule(&task.record.facts.id, Instant::now() + self.config.grace);
        }
    }

    /// Applies a change to a task; if it returns true, stores and reports the task. Returns whether the
    /// task is known.
    fn change(&self, id: &TaskId, change: impl FnOnce(&mut Task) -> bool) -> bool {
        let Some(task) = self.task(id) else { return false };
        let mut task = task.lock();
        if !change(&mut task) {
            return true;
        }
        task.record.facts.version += 1;
        if let Err(error) = self.records.save(&task.record) {
            // Not fatal: after a restart the driver reads the older record and reconciles it with the
            // sandboxes that exist.
            tracing::error!(task.id = %id, error = %error, "failed to write a task's record");
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
        self.task(id).map(|task| task.lock().record.facts.clone())
    }

    fn task(&self, id: &TaskId) -> Option<Arc<Mutex<Task>>> {
        self.tasks().get(id).cloned()
    }

    /// The pid, on the host, of a running task's PID 1.
    pub(crate) fn init_pid(&self, id: &TaskId) -> Option<i32> {
        let task = self.task(id)?;
        let pid = task.lock().record.init.as_ref()?.pid;
        Some(pid)
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Mutex<Task>>>> {
        self.tasks.lock()
    }

    fn forget(&self, id: &TaskId) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.get(id).cloned() else { return };
        if task.lock().record.facts.last_status == Status::Stopped {
            if let Err(error) = self.records.remove(id) {
                tracing::warn!(task.id = %id, error = %error, "failed to remove a task's record");
            }
            tasks.remove(id);
        }
    }

    fn drop_expired(&self) {
        let keep = u64::try_from(STOPPED_RETENTION.as_millis()).unwrap_or(u64::MAX);
        let limit = now_ms().saturating_sub(keep);
        let tasks: Vec<_> = self.tasks().values().cloned().collect();
        let facts = tasks.iter().map(|task| task.lock().record.facts.clone());
        for facts in facts.filter(|facts| facts.stopped_at_ms.is_some_and(|at| at < limit)) {
            self.forget(&facts.id);
        }
    }

    /// Includes the kills in cgroups of ended jobs, which on v1 only the runner knows.
    fn oom_kills(&self, id: &TaskId) -> u64 {
        let count = self.cgroups.of(id).oom_kills();
        if self.cgroups.is_v2() {
            return count;
        }
        let ended = fs::read_to_string(self.dir(id).join("run/oom-kills")).unwrap_or_default();
        count + ended.trim().parse().unwrap_or(0)
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
