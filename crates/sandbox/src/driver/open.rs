//! Opening a directory: what the host must offer, and what a predecessor left, however it ended.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use super::pool::{Pool, Work};
use super::watch::Watch;
use super::{Config, Image, Inner, OpenError, Report, Runtime, Task, guard, launch};
use crate::cgroup::Cgroups;
use crate::host::CgroupLayout;
use crate::record::Records;
use crate::rootfs::Root;
use crate::rootless::IdMap;
use crate::task::{Status, TaskId};

/// `sun_path` of unix(7), without its end.
const MAX_SOCKET_PATH: usize = 107;

impl Inner {
    pub(super) fn new(config: Config, report: Report, lock: File) -> Result<Self, OpenError> {
        let root = config.root.canonicalize().map_err(OpenError::Backend)?;
        let longest = root.join(TaskId::of_token("").as_str()).join("run/runner.sock");
        if longest.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(OpenError::PathTooLong(root));
        }
        let unfit = |error: io::Error| OpenError::Unfit(error.to_string());
        let layout = CgroupLayout::find().map_err(|error| OpenError::Unfit(error.to_string()))?;
        let name = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let name: String = name.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        // What a launcher starts must come back to us to be waited for when the launcher is gone.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| OpenError::Backend(error.into()))?;
        Ok(Self {
            records: Records::open(root.join("records")).map_err(OpenError::Backend)?,
            cgroups: Cgroups::open(layout, format!("ephemeral-{name}")).map_err(unfit)?,
            image: open_image(&config, &root)?,
            ids: id_map(&config)?,
            tasks: Mutex::default(),
            report,
            pool: Pool::default(),
            watch: Watch::new().map_err(OpenError::Backend)?,
            _lock: lock,
            config: Config { root, ..config },
        })
    }

    /// Takes up what a predecessor left.
    pub(super) fn recover(&self) -> io::Result<()> {
        for record in self.records.load()? {
            let id = record.facts.id.clone();
            self.tasks().insert(id, Arc::new(Mutex::new(Task { record, init: None })));
        }
        let known: Vec<TaskId> = self.tasks().keys().cloned().collect();
        self.sweep(&known)?;
        for id in known {
            self.take_up(&id);
        }
        Ok(())
    }

    fn take_up(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        let mut task = guard(&task);
        let found = task.record.init.as_ref().and_then(launch::open_process);
        match (task.record.facts.last_status, found) {
            (Status::Stopped, _) => return,
            // Started or not, nobody can have used it: whatever is there makes way for a new one.
            (Status::Provisioning, _) => self.pool.push(Work::Launch(id.clone())),
            (Status::Running | Status::Stopping, None) => self.pool.push(Work::End(id.clone())),
            (Status::Running, Some(init)) => {
                self.watch.add(id, &init);
                task.init = Some(init);
            }
            (Status::Stopping, Some(init)) => {
                self.watch.add(id, &init);
                task.init = Some(init);
                self.terminate(&mut task);
            }
        }
        let facts = task.record.facts.clone();
        drop(task);
        (self.report)(facts);
    }

    /// Removes directories and control groups of tasks that have no record.
    fn sweep(&self, known: &[TaskId]) -> io::Result<()> {
        let dirs = fs::read_dir(&self.config.root)?;
        let dirs = dirs.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found: Vec<TaskId> = dirs.chain(self.cgroups.present()).collect();
        for id in found.iter().filter(|id| !known.contains(id)) {
            self.demolish(id)?;
        }
        Ok(())
    }
}

fn id_map(config: &Config) -> Result<Option<IdMap>, OpenError> {
    match config.runtime {
        Runtime::Bare => Ok(None),
        Runtime::BuiltIn | Runtime::Program(_) => {
            IdMap::find().map_err(|error| OpenError::Unfit(error.to_string()))
        }
    }
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
