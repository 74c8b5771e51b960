//! The cgroups of sandboxes: they enforce limits, and they list every process of a sandbox.
//!
//! The driver creates and removes the groups itself, so that limits do not depend on the OCI runtime.
//! On cgroup v1 a sandbox has a directory in each hierarchy that enforces one of its limits.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::host::{CgroupLayout, SERVER_GROUP};
use crate::task::{TaskId, TaskSpec};

/// Period of the CPU limit: 100 ms, the default of OCI runtimes.
const PERIOD_US: u64 = 100_000;
const MIB: u64 = 1 << 20;

/// The groups of one driver: one directory in each hierarchy.
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
    /// Creates the driver's directories. `name` must be unique among the drivers on this host.
    pub(crate) fn open(layout: CgroupLayout, name: String) -> io::Result<Self> {
        let cgroups = Self { layout, name };
        for hierarchy in cgroups.layout.limiting() {
            create(&hierarchy.join(&cgroups.name))?;
        }
        if let CgroupLayout::V2 { base } = &cgroups.layout {
            enable_controllers(base)?;
            enable_controllers(&base.join(&cgroups.name))?;
        }
        cgroups.lower_cpu_weight()?;
        Ok(cgroups)
    }

    /// Gives all sandboxes together a quarter of the default CPU weight (1024 on v1, 100 on v2), so that
    /// the server stays responsive while sandboxes use all cores.
    fn lower_cpu_weight(&self) -> io::Result<()> {
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

    /// The tasks that have a group in any hierarchy.
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

    /// Removes the driver's directories unless they still contain groups of sandboxes.
    pub(crate) fn close(&self) {
        for hierarchy in self.layout.all() {
            let _ = fs::remove_dir(hierarchy.join(&self.name));
        }
    }
}

impl Cgroup<'_> {
    /// Creates the groups and sets every limit except that of the CPU, which would slow the start down.
    pub(crate) fn create(&self, spec: &TaskSpec) -> io::Result<()> {
        for hierarchy in self.layout.limiting() {
            create(&hierarchy.join(&self.path))?;
        }
        let memory = u64::from(spec.memory_mib) * MIB;
        match self.layout {
            CgroupLayout::V1 { memory: hierarchy, .. } => {
                let dir = hierarchy.join(&self.path);
                // The group may exist already, and the kernel rejects a memory limit above the limit of
                // memory and swap together.
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
        // The kernel rejects a quota below 1 ms.
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

    /// The files into which a process writes `0` to enter the groups.
    pub(crate) fn procs_files(&self) -> Vec<PathBuf> {
        self.layout.limiting().map(|h| h.join(&self.path).join(self.layout.procs_file())).collect()
    }

    /// The value of `linux.cgroupsPath`, relative to the root of every hierarchy.
    pub(crate) fn oci_path(&self) -> PathBuf {
        self.layout.oci_prefix().join(&self.path)
    }

    /// Number of processes that the kernel's out-of-memory killer has killed in the group; 0 if the group
    /// does not exist.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.layout {
            CgroupLayout::V1 { memory, .. } => memory.join(&self.path).join("memory.oom_control"),
            CgroupLayout::V2 { base } => base.join(&self.path).join("memory.events"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills all processes of the groups, waits until none is left, and removes the groups. Succeeds if
    /// there are none.
    ///
    /// # Errors
    /// `TimedOut` if a process survives SIGKILL for `timeout`, because it is blocked in the kernel.
    pub(crate) fn destroy(&self, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        // Without forks no process escapes the loop below, and without a CPU quota processes die faster.
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
        // Processes whose launcher has ended were reparented to this process, which is a subreaper.
        // waitpid fails for all others.
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
                    // Fails if the process has ended already.
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

/// Enables the controllers for the children of `dir` on cgroup v2. A group with processes can't enable
/// controllers, so this process moves itself into a child group if needed.
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
