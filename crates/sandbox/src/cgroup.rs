//! Control groups: the limits of a sandbox, and the means to find and kill all that is in it.
//!
//! The driver makes and removes the groups itself, so that the limits do not depend on the runtime.
//! On version 1 a sandbox has a directory in each hierarchy that has a limit for it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::host::{CgroupLayout, SERVER_GROUP};
use crate::task::{TaskId, TaskSpec};

/// 100 ms, as every runtime has it.
const PERIOD_US: u64 = 100_000;
const MIB: u64 = 1 << 20;

/// The groups of one driver: a directory of its own in each hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    layout: CgroupLayout,
    name: String,
}

/// The groups of one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup<'a> {
    layout: &'a CgroupLayout,
    path: PathBuf,
}

impl Cgroups {
    /// Prepares the driver's directories. `name` must tell this driver from others on the host.
    pub(crate) fn open(layout: CgroupLayout, name: String) -> io::Result<Self> {
        let cgroups = Self { layout, name };
        for hierarchy in cgroups.layout.limiting() {
            create(&hierarchy.join(&cgroups.name))?;
        }
        if let CgroupLayout::V2 { base } = &cgroups.layout {
            enable_controllers(base)?;
            enable_controllers(&base.join(&cgroups.name))?;
        }
        cgroups.go_second()?;
        Ok(cgroups)
    }

    /// All shells together weigh a quarter of a process outside, by default 1024 or 100: when the
    /// cores are all busy, what was asked for is put on record before more of it is run.
    fn go_second(&self) -> io::Result<()> {
        match &self.layout {
            CgroupLayout::V1 { cpu, .. } => {
                set_if_there(&cpu.join(&self.name).join("cpu.shares"), 256)
            }
            CgroupLayout::V2 { base } => {
                set_if_there(&base.join(&self.name).join("cpu.weight"), 25)
            }
        }
    }

    pub(crate) fn of(&self, id: &TaskId) -> Cgroup<'_> {
        Cgroup { layout: &self.layout, path: Path::new(&self.name).join(id.as_str()) }
    }

    /// The tasks that have a directory in any hierarchy.
    pub(crate) fn present(&self) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> = (self.layout.all())
            .filter_map(|hierarchy| fs::read_dir(hierarchy.join(&self.name)).ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Removes the driver's directories if no sandbox is left in them.
    pub(crate) fn close(&self) {
        for hierarchy in self.layout.all() {
            let _ = fs::remove_dir(hierarchy.join(&self.name));
        }
    }
}

impl Cgroup<'_> {
    /// Makes the groups and sets every limit but the CPU's, which would slow the start down.
    pub(crate) fn create(&self, spec: &TaskSpec) -> io::Result<()> {
        for hierarchy in self.layout.limiting() {
            create(&hierarchy.join(&self.path))?;
        }
        let memory = u64::from(spec.memory_mib) * MIB;
        match self.layout {
            CgroupLayout::V1 { memory: hierarchy, .. } => {
                let dir = hierarchy.join(&self.path);
                // Set again on a sandbox half made, the first may not exceed the second.
                set_if_there(&dir.join("memory.memsw.limit_in_bytes"), "-1")?;
                set(&dir.join("memory.limit_in_bytes"), memory)?;
                set_if_there(&dir.join("memory.memsw.limit_in_bytes"), memory)?;
            }
            CgroupLayout::V2 { base } => {
                let dir = base.join(&self.path);
                set(&dir.join("memory.max"), memory)?;
                set_if_there(&dir.join("memory.swap.max"), 0)?;
            }
        }
        self.set_pids(spec.pids)
    }

    fn set_pids(&self, limit: u32) -> io::Result<()> {
        let (CgroupLayout::V1 { pids: hierarchy, .. } | CgroupLayout::V2 { base: hierarchy }) =
            self.layout;
        set(&hierarchy.join(&self.path).join("pids.max"), limit)
    }

    pub(crate) fn limit_cpu(&self, spec: &TaskSpec) -> io::Result<()> {
        // The kernel refuses less than 1 ms.
        let quota = (u64::from(spec.cpu_units) * PERIOD_US / 1024).max(1_000);
        self.set_cpu_quota(Some(quota))
    }

    fn set_cpu_quota(&self, quota_us: Option<u64>) -> io::Result<()> {
        match self.layout {
            CgroupLayout::V1 { cpu, .. } => {
                let dir = cpu.join(&self.path);
                set(&dir.join("cpu.cfs_period_us"), PERIOD_US)?;
                let quota = quota_us.map_or("-1".to_owned(), |quota| quota.to_string());
                set(&dir.join("cpu.cfs_quota_us"), quota)
            }
            CgroupLayout::V2 { base } => {
                let quota = quota_us.map_or("max".to_owned(), |quota| quota.to_string());
                set(&base.join(&self.path).join("cpu.max"), format!("{quota} {PERIOD_US}"))
            }
        }
    }

    /// The files to write `0` into for a process that enters the sandbox.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        self.layout.limiting().map(|h| h.join(&self.path).join(self.layout.entrance())).collect()
    }

    /// For `linux.cgroupsPath`: below the root of every hierarchy.
    pub(crate) fn oci_path(&self) -> PathBuf {
        self.layout.oci_prefix().join(&self.path)
    }

    /// How many processes the kernel killed in it for lack of memory. 0 if it is gone.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.layout {
            CgroupLayout::V1 { memory, .. } => memory.join(&self.path).join("memory.oom_control"),
            CgroupLayout::V2 { base } => base.join(&self.path).join("memory.events"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills all processes in it, waits until none is left, and removes it. Safe to repeat.
    ///
    /// # Errors
    /// `TimedOut` if a process outlives SIGKILL for `patience`; it is stuck in the kernel then.
    pub(crate) fn destroy(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        // What can't fork can't outrun us, and what is not throttled dies at once.
        let _ = self.set_pids(0);
        let _ = self.set_cpu_quota(None);
        let mut killed = BTreeSet::new();
        let mut pause = Duration::from_micros(100);
        while let Err(error) = self.remove() {
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, error));
            }
            self.kill(&mut killed);
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        // What a launcher left behind is a child of ours now. Others' children are not waited for.
        for pid in killed.into_iter().filter_map(Pid::from_raw) {
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
        Ok(())
    }

    fn kill(&self, killed: &mut BTreeSet<i32>) {
        for hierarchy in self.layout.all() {
            let dir = hierarchy.join(&self.path);
            let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            let pids: Vec<i32> = procs.lines().filter_map(|line| line.parse().ok()).collect();
            killed.extend(&pids);
            if fs::write(dir.join("cgroup.kill"), "1").is_err() {
                for pid in pids.into_iter().filter_map(Pid::from_raw) {
                    // Gone already is as good.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    fn remove(&self) -> io::Result<()> {
        for hierarchy in self.layout.all() {
            match fs::remove_dir(hierarchy.join(&self.path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Lets the groups below `dir` have limits. A group with processes in it can't, so they make room.
fn enable_controllers(dir: &Path) -> io::Result<()> {
    let control = dir.join("cgroup.subtree_control");
    match fs::write(&control, "+memory +pids +cpu") {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let server = dir.join(SERVER_GROUP);
            create(&server)?;
            fs::write(server.join("cgroup.procs"), "0")?;
            fs::write(&control, "+memory +pids +cpu")
        }
        done => done,
    }
}

fn create(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn set(file: &Path, value: impl ToString) -> io::Result<()> {
    let written = fs::OpenOptions::new().write(true).open(file);
    let written =
        written.and_then(|mut file| io::Write::write_all(&mut file, value.to_string().as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

fn set_if_there(file: &Path, value: impl ToString) -> io::Result<()> {
    if file.exists() { set(file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
