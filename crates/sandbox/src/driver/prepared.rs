//! Sandboxes that are made before a task needs them, so that most starts only execute the runner.
//!
//! A prepared sandbox has ids, namespaces, mounts, a disk and cgroups of its own, like every sandbox. Its
//! PID 1 waits for its task and has executed nothing yet. It serves one task or none: what does not suit a
//! task, or was made from an older state of the host, is removed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::launch::readable_within;
use super::plan::NewSandbox;
use super::{Inner, Runtime};
use crate::record::Process;
use crate::runtime::Assignment;
use crate::task::{Network, TaskId, TaskSpec, now_ms};
use crate::uid_range::Block;

mod stock;

pub(super) use stock::Stock;

/// How long no task must have been starting before a sandbox is prepared: the first commands of a new
/// sandbox come before.
const QUIET_TIME: Duration = Duration::from_millis(20);
/// Pause after a sandbox could not be prepared.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// Which sandboxes the driver prepares. They count in no budget until a task has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare {
    pub kind: Kind,
    /// How many wait for tasks at once.
    pub count: usize,
}

/// What a sandbox has from its beginning: it suits only tasks of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub memory_mib: u32,
    pub pids: u32,
    pub disk_mib: u32,
    pub network: Network,
}

impl Kind {
    fn of(spec: &TaskSpec) -> Self {
        let TaskSpec { memory_mib, pids, disk_mib, network, .. } = *spec;
        Self { memory_mib, pids, disk_mib, network }
    }

    /// The specification of a task that does not exist yet.
    fn spec(self) -> TaskSpec {
        let Self { memory_mib, pids, disk_mib, network } = self;
        let (started_by, token) = (String::new(), String::new());
        // The CPU is limited once the runner runs.
        TaskSpec {
            started_by,
            token,
            cpu_units: 0,
            memory_mib,
            pids,
            disk_mib,
            lifetime: None,
            network,
        }
    }
}

/// A sandbox whose PID 1 waits for a task.
#[derive(Debug)]
pub(super) struct Prepared {
    name: TaskId,
    kind: Kind,
    block: Option<Block>,
    process: Process,
    init: Arc<OwnedFd>,
    /// PID 1 reads its task from the other end, and ends if this one is closed before.
    assignment: File,
    log: File,
}

impl Inner {
    /// A prepared sandbox for this task, if there is one.
    pub(super) fn take_prepared(&self, spec: &TaskSpec) -> Option<Prepared> {
        let kind = Kind::of(spec);
        self.stock.take(|prepared| prepared.kind == kind, |prepared| self.is_usable(prepared))
    }

    fn is_usable(&self, prepared: &Prepared) -> bool {
        let has_ended = readable_within(&prepared.init, Duration::ZERO);
        !has_ended && self.image.is_current(&self.dir(&prepared.name))
    }

    /// Gives a prepared sandbox to a task, and waits until the runner answers.
    ///
    /// # Errors
    /// The sandbox is of no use. It has the task's record, so that its removal removes it.
    pub(super) fn adopt(
        &self,
        id: &TaskId,
        spec: &TaskSpec,
        mut prepared: Prepared,
    ) -> Result<(Process, Arc<OwnedFd>), String> {
        let assigned = self.assign(id, &mut prepared);
        assigned.map_err(|error| format!("failed to assign a prepared sandbox: {error}"))?;
        let Prepared { process, init, log, .. } = prepared;
        self.await_runner(id, &init, log)?;
        let limited = self.cgroup(id).limit_cpu(spec);
        limited.map_err(|error| format!("failed to set the CPU limit: {error}"))?;
        Ok((process, init))
    }

    /// Records that the task has the sandbox, before its PID 1 learns of the task.
    fn assign(&self, id: &TaskId, prepared: &mut Prepared) -> io::Result<()> {
        let task = self.task(id).ok_or(io::ErrorKind::NotFound)?;
        {
            let mut task = task.lock();
            task.record.prepared = Some(prepared.name.clone());
            task.record.block = prepared.block;
            self.records.save(&task.record)?;
        }
        if let (Some(blocks), Some(block)) = (&self.blocks, prepared.block) {
            blocks.transfer(block, id)?;
        }
        self.records.remove(&prepared.name)?;
        let line = Assignment::new(self.time_left(id)).line()?;
        prepared.assignment.write_all(line.as_bytes())
    }

    /// Forgets that the task had a prepared sandbox, which was removed. The task keeps its ids.
    pub(super) fn give_up_prepared(&self, id: &TaskId) -> io::Result<()> {
        let Some(task) = self.task(id) else { return Ok(()) };
        let mut task = task.lock();
        if task.record.prepared.take().is_none() {
            return Ok(());
        }
        self.records.save(&task.record)?;
        match (&self.blocks, task.record.block) {
            (Some(blocks), Some(block)) => blocks.transfer(block, id),
            _ => Ok(()),
        }
    }

    /// Creates a sandbox without a task.
    fn make(&self, kind: Kind) -> Result<Prepared, String> {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("prepared {} {} {number}", std::process::id(), now_ms());
        let name = TaskId::of_token(&name);
        let mut block = None;
        self.make_named(&name, kind, &mut block).inspect_err(|_| self.discard(&name, block))
    }

    fn make_named(
        &self,
        name: &TaskId,
        kind: Kind,
        block: &mut Option<Block>,
    ) -> Result<Prepared, String> {
        let failed = |error: io::Error| error.to_string();
        self.records.reserve(name).map_err(failed)?;
        if let Some(blocks) = &self.blocks {
            *block = Some(blocks.claim(name).map_err(failed)?);
        }
        let (task, assignment) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let spec = kind.spec();
        let new = NewSandbox { name, spec: &spec, block: *block, time_left: None, waits: true };
        let (process, init, log) = self.build(&new, task.into())?;
        let (name, assignment) = (name.clone(), assignment.into());
        Ok(Prepared { name, kind, block: *block, process, init, assignment, log })
    }

    /// Removes a sandbox that no task has had. What can't be removed is left to the next driver.
    fn discard(&self, name: &TaskId, block: Option<Block>) {
        if let Err(error) = self.remove_sandbox(name) {
            tracing::warn!(sandbox = %name, error = %error, "failed to remove a prepared sandbox");
            return;
        }
        if let (Some(blocks), Some(block)) = (&self.blocks, block) {
            blocks.release(name, block);
        }
        if let Err(error) = self.records.remove(name) {
            tracing::warn!(sandbox = %name, error = %error, "failed to remove a prepared sandbox");
        }
    }

    fn discard_prepared(&self, prepared: &Prepared) {
        self.discard(&prepared.name, prepared.block);
        // It has been reaped already, unless it ended by itself.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = waitid(WaitId::PidFd(prepared.init.as_fd()), ended);
    }

    /// Removes all prepared sandboxes. Returns whether there were some.
    pub(super) fn discard_stock(&self) -> bool {
        let all = self.stock.take_all();
        all.iter().for_each(|prepared| self.discard_prepared(prepared));
        !all.is_empty()
    }

    fn keep_stock(&self, Prepare { kind, count }: Prepare) {
        while let Some(stale) = self.stock.wait(count, QUIET_TIME) {
            stale.iter().for_each(|prepared| self.discard_prepared(prepared));
            if !stale.is_empty() {
                continue;
            }
            match self.make(kind) {
                Ok(prepared) => self.stock.add(prepared),
                Err(reason) => {
                    tracing::warn!(reason, "failed to prepare a sandbox; starts take longer");
                    self.stock.pause(Instant::now() + RETRY_DELAY);
                }
            }
        }
    }
}

/// Starts the thread that prepares sandboxes, if the configuration asks for some. Other OCI runtimes than
/// the built-in one can't wait for a task.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<Option<JoinHandle<()>>> {
    let prepare = inner.config.prepare.filter(|prepare| prepare.count > 0);
    let Some(prepare) = prepare.filter(|_| inner.config.runtime == Runtime::BuiltIn) else {
        return Ok(None);
    };
    let inner = Arc::clone(inner);
    let thread = thread::Builder::new().name("sandbox-prepare".into());
    // The first call of `disks` takes some time.
    let run = move || {
        inner.disks();
        inner.keep_stock(prepare);
    };
    thread.spawn(run).map(Some)
}
