//! The driver: accepts tasks and reports their states.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Signal, pidfd_send_signal};

use crate::budget::Budget;
use crate::cgroup::{Cgroup, Cgroups};
use crate::disk::{self, Disks};
use crate::host;
use crate::record::{Record, Records};
use crate::rootfs::Root;
use crate::rootless::IdMap;
use crate::task::{Desired, Network, Status, StopCode, TaskFacts, TaskId, TaskSpec, now_ms};
use crate::uid_range::{Block, Blocks};

mod config;
mod deadline;
mod launch;
mod monitor;
mod network;
mod open;
mod plan;
mod pool;
mod prepared;
mod teardown;

pub use config::{Config, Egress, Image, OpenError, Program, RunError, Runtime, StopError};
use monitor::Monitor;
pub use open::remove_abandoned;
use pool::{Pool, Work};
use prepared::Stock;
pub use prepared::{Kind, Prepare};

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
    /// The blocks of ids of sandboxes, if this process is root.
    blocks: Option<Blocks>,
    disks: OnceLock<Option<Disks>>,
    /// Write ends of the pipes whose end tells runners that this process has ended.
    owned: Mutex<BTreeMap<TaskId, File>>,
    tasks: Mutex<BTreeMap<TaskId, Arc<Mutex<Task>>>>,
    report: Report,
    pool: Pool,
    monitor: Monitor,
    /// Sandboxes that have no task yet.
    stock: Stock,
    socket_watches: launch::SocketWatches,
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
        // Also if it existed before: records and plans are nobody else's business.
        fs::set_permissions(&root, Permissions::from_mode(0o700)).map_err(OpenError::Backend)?;
        let lock = open::lock(&root)?;
        let inner = Inner::new(config, Box::new(report), lock)?;
        let inner = Arc::new(inner);
        let mut threads = pool::start(&inner).map_err(OpenError::Backend)?;
        threads.push(monitor::start(&inner).map_err(OpenError::Backend)?);
        let mut driver = Self { inner, threads };
        driver.inner.recover().map_err(OpenError::Backend)?;
        driver.threads.extend(prepared::start(&driver.inner).map_err(OpenError::Backend)?);
        Ok(driver)
    }

    /// Accepts a task and starts it in the background. If the token was used before, returns the id of
    /// that task, in whatever state the task is.
    ///
    /// # Errors
    /// `NoEgress` if this host can't provide the requested network; `NoCapacity` while other tasks use the
    /// budget; `Backend` if the task can't be recorded. Nothing was started then.
    pub fn run(&self, spec: TaskSpec) -> Result<TaskId, RunError> {
        let id = TaskId::of_token(&spec.token);
        if spec.network == Network::Egress && !self.has_egress() {
            return Err(RunError::NoEgress);
        }
        self.inner.drop_expired();
        // Before the lock, because the first call takes some time.
        self.inner.disks();
        {
            let mut tasks = self.inner.tasks();
            if tasks.contains_key(&id) {
                return Ok(id);
            }
            if !self.inner.has_room(&tasks, &spec) {
                return Err(RunError::NoCapacity);
            }
            let record = Record::new(id.clone(), spec);
            self.inner.records.save(&record).map_err(RunError::Backend)?;
            tasks.insert(id.clone(), Arc::new(Mutex::new(Task { record, init: None })));
        }
        self.inner.report_again(&id);
        self.inner.schedule_expiry(&id);
        self.inner.pool.push(Work::Launch(id.clone()));
        Ok(id)
    }

    /// Moves the end of a task: it is killed some time after this, whatever becomes of its owner. The
    /// runner inside has a deadline of its own. Does nothing for an unknown or stopped task.
    pub fn set_deadline(&self, id: &TaskId, after: Duration) {
        self.inner.set_deadline(id, after);
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

    /// How many sandboxes wait for tasks.
    pub fn prepared(&self) -> usize {
        self.inner.stock.len()
    }

    /// Whether this host can provide [`Network::Egress`], and the configuration permits it.
    pub fn has_egress(&self) -> bool {
        let config = &self.inner.config;
        let may = config.egress != Egress::None && config.runtime != Runtime::Bare;
        may && host::find_pasta().is_ok()
    }

    /// Whether the disks of tasks are on real storage; else they are held in memory.
    pub fn has_disks(&self) -> bool {
        self.inner.disks().is_some()
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
        self.inner.stock.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has already printed its message.
            let _ = thread.join();
        }
        self.inner.discard_stock();
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

    /// The images of disks; `None` where disks are held in memory.
    fn disks(&self) -> Option<&Disks> {
        let find = || match disk::find(&self.config, self.config.root.join("disks")) {
            Ok(disks) => Some(disks),
            Err(reason) => {
                tracing::info!(reason, "the disks of sandboxes are held in memory");
                None
            }
        };
        self.disks.get_or_init(find).as_ref()
    }

    fn time_left(&self, id: &TaskId) -> Option<Duration> {
        self.task(id)?.lock().record.time_left()
    }

    /// Whether the budget has room for one more task.
    fn has_room(&self, tasks: &BTreeMap<TaskId, Arc<Mutex<Task>>>, spec: &TaskSpec) -> bool {
        let is_real = self.disks().is_some();
        let used = tasks.values().map(|task| {
            let record = &task.lock().record;
            match record.facts.last_status {
                Status::Stopped => Budget::default(),
                Status::Provisioning | Status::Running | Status::Stopping => {
                    Budget::of(&record.spec, is_real)
                }
            }
        });
        used.sum::<Budget>().fits(Budget::of(spec, is_real), self.config.budget)
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

    fn oom_kills(&self, id: &TaskId) -> u64 {
        self.cgroup(id).oom_kills(&self.dir(id).join("run/oom-kills"))
    }

    /// The ids of the task's sandbox, if it has some.
    fn block(&self, id: &TaskId) -> Option<Block> {
        self.task(id)?.lock().record.block
    }

    /// The name of the task's sandbox. One that has no task yet has the name `id` itself.
    fn name(&self, id: &TaskId) -> TaskId {
        let prepared = self.task(id).and_then(|task| task.lock().record.prepared.clone());
        prepared.unwrap_or_else(|| id.clone())
    }

    fn dir(&self, id: &TaskId) -> PathBuf {
        self.config.root.join(self.name(id).as_str())
    }

    fn cgroup(&self, id: &TaskId) -> Cgroup<'_> {
        self.cgroups.of(&self.name(id))
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
