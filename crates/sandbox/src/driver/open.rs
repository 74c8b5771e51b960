//! Opens a driver's directory: checks the host, and continues the work of an earlier driver.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use super::monitor::Monitor;
use super::pool::{Pool, Work};
use super::prepared::Stock;
use super::teardown::KILL_TIMEOUT;
use super::{Config, Image, Inner, OpenError, Report, Runtime, Task, launch};
use crate::cgroup::Cgroups;
use crate::digest;
use crate::host::CgroupLayout;
use crate::record::Records;
use crate::rootfs::Root;
use crate::rootless::IdMap;
use crate::task::{Status, TaskId};
use crate::uid_range::{Block, Blocks};

/// Length of `sun_path` of unix(7), without the terminating NUL.
const MAX_SOCKET_PATH: usize = 107;
const RECORDS: &str = "records";

impl Inner {
    pub(super) fn new(config: Config, report: Report, lock: File) -> Result<Self, OpenError> {
        let root = config.root.canonicalize().map_err(OpenError::Backend)?;
        let longest = root.join(TaskId::of_token("").as_str()).join("run/runner.sock");
        if longest.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(OpenError::PathTooLong(root));
        }
        let unsupported = |error: io::Error| OpenError::Unsupported(error.to_string());
        let layout =
            CgroupLayout::find().map_err(|error| OpenError::Unsupported(error.to_string()))?;
        // As a subreaper, this process becomes the parent of a sandbox's PID 1 when the launcher ends.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| OpenError::Backend(error.into()))?;
        Ok(Self {
            records: Records::open(root.join(RECORDS)).map_err(OpenError::Backend)?,
            cgroups: Cgroups::open(layout, cgroup_name(&root), config.budget)
                .map_err(unsupported)?,
            image: open_image(&config, &root)?,
            ids: id_map(&config)?,
            blocks: blocks(&config, &root)?,
            disks: OnceLock::new(),
            owned: Mutex::default(),
            tasks: Mutex::default(),
            report,
            pool: Pool::default(),
            monitor: Monitor::new().map_err(OpenError::Backend)?,
            stock: Stock::default(),
            socket_watches: launch::SocketWatches::default(),
            _lock: lock,
            config: Config { root, ..config },
        })
    }

    /// Continues the work of an earlier driver on this directory.
    pub(super) fn recover(&self) -> io::Result<()> {
        for record in self.records.load()? {
            let id = record.facts.id.clone();
            self.tasks().insert(id, Arc::new(Mutex::new(Task { record, init: None })));
        }
        let known: Vec<TaskId> = self.tasks().keys().cloned().collect();
        self.sweep(&known)?;
        if let Some(blocks) = &self.blocks {
            let used: Vec<Block> = known.iter().filter_map(|id| self.block(id)).collect();
            blocks.release_unused(&used)?;
        }
        for id in known {
            self.resume(&id);
        }
        Ok(())
    }

    fn resume(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        let mut task = task.lock();
        let found = task.record.init.as_ref().and_then(launch::open_process);
        match (task.record.facts.last_status, found) {
            (Status::Stopped, _) => return,
            // The sandbox was never reported as running, so nothing uses it: launching replaces it.
            (Status::Provisioning, _) => self.pool.push(Work::Launch(id.clone())),
            (Status::Running | Status::Stopping, None) => {
                self.pool.push(Work::Teardown(id.clone()))
            }
            (Status::Running, Some(init)) => {
                self.monitor.add(id, &init);
                task.init = Some(init);
            }
            (Status::Stopping, Some(init)) => {
                self.monitor.add(id, &init);
                task.init = Some(init);
                self.terminate(&mut task);
            }
        }
        let facts = task.record.facts.clone();
        drop(task);
        self.schedule_expiry(id);
        (self.report)(facts);
    }

    /// Removes directories and cgroups of tasks that have no record.
    fn sweep(&self, known: &[TaskId]) -> io::Result<()> {
        let dirs = fs::read_dir(&self.config.root)?;
        let dirs = dirs.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found: Vec<TaskId> = dirs.chain(self.cgroups.present()).collect();
        let used: Vec<TaskId> = known.iter().map(|id| self.name(id)).collect();
        for id in found.iter().filter(|id| !used.contains(id)) {
            self.remove_sandbox(id)?;
        }
        Ok(())
    }
}

/// Removes the sandboxes of a driver whose process has ended, unless another one has opened the
/// directory. Only the directory itself is left. Returns false if a driver uses it.
///
/// # Errors
/// If a sandbox can't be removed.
pub fn remove_abandoned(root: &Path) -> io::Result<bool> {
    let _lock = match lock(root) {
        Ok(lock) => lock,
        Err(OpenError::InUse(_)) => return Ok(false),
        Err(error) => return Err(io::Error::other(error)),
    };
    let layout = CgroupLayout::find().map_err(io::Error::other)?;
    let cgroups = Cgroups::of_earlier(layout, cgroup_name(&root.canonicalize()?));
    for id in cgroups.present() {
        cgroups.of(&id).destroy(KILL_TIMEOUT)?;
    }
    cgroups.close();
    Ok(true)
}

/// The name of a driver's cgroups.
fn cgroup_name(root: &Path) -> String {
    format!("ephemeral-{}", digest::hex(root.as_os_str().as_encoded_bytes(), 8))
}

fn id_map(config: &Config) -> Result<Option<IdMap>, OpenError> {
    match config.runtime {
        Runtime::Bare => Ok(None),
        Runtime::BuiltIn | Runtime::Program(_) => {
            IdMap::find().map_err(|error| OpenError::Unsupported(error.to_string()))
        }
    }
}

fn blocks(config: &Config, root: &Path) -> Result<Option<Blocks>, OpenError> {
    let has_users = match &config.runtime {
        Runtime::BuiltIn => true,
        // In gVisor's kernel no process can enter another user namespace.
        Runtime::Program(program) => !program.is_gvisor(),
        Runtime::Bare => false,
    };
    if !has_users || !rustix::process::geteuid().is_root() {
        let reason = "commands can run as root only in a container, not in gVisor, and if the server \
                      is root";
        return if config.allow_root {
            Err(OpenError::Unsupported(reason.to_owned()))
        } else {
            Ok(None)
        };
    }
    let range = config.uid_range;
    if let Some(owner) = range.conflict() {
        return Err(OpenError::Unsupported(format!(
            "the uids {range} include {owner}; choose others with --uid-range"
        )));
    }
    let opened = Blocks::open(range, root.join(RECORDS));
    opened.map(Some).map_err(|error| OpenError::Unsupported(format!("/run/ephemeral: {error}")))
}

fn open_image(config: &Config, root: &Path) -> Result<Root, OpenError> {
    match (&config.runtime, &config.image) {
        (Runtime::Bare, _) => Root::bare(root).map_err(OpenError::Backend),
        (_, Image::Host) => Root::host(root).map_err(OpenError::Backend),
        (_, Image::File(path)) => Root::image(path, root).map_err(OpenError::Image),
    }
}

pub(super) fn lock(root: &Path) -> Result<File, OpenError> {
    let file = File::create(root.join("lock")).map_err(OpenError::Backend)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(root.to_owned())),
        Err(error) => Err(OpenError::Backend(error.into())),
    }
}
