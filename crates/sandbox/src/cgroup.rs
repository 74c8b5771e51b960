//! The cgroups of sandboxes: they enforce limits, and they list every process of a sandbox.
//!
//! The driver creates and removes the groups itself, so that limits do not depend on the OCI runtime.
//! On cgroup v1 a sandbox has a directory in each hierarchy that enforces one of its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::budget::Budget;
use crate::host::CgroupLayout;
use crate::task::{TaskId, TaskSpec};

mod files;

use files::{create, enable_controllers, give, oom_kills, set, set_if_there, tree};

/// Period of the CPU limit: 100 ms, the default of OCI runtimes.
const PERIOD_US: u64 = 100_000;
const MIB: u64 = 1 << 20;
/// On cgroup v2, the child of a sandbox's group that contains PID 1: a group with children that have
/// limits can't contain processes itself. On v1 PID 1 is in the sandbox's group.
const LEAF: &str = "runner";
/// On cgroup v2, the CPU weight of the leaf; a job's group has 100. PID 1 must be able to end jobs however
/// many there are.
pub(crate) const LEAF_CPU_WEIGHT: &str = "1000";
/// The controllers that sandboxes and jobs need.
pub(crate) const CONTROLLERS: &str = "+memory +pids +cpu";
/// On cgroup v1, the part of a sandbox's memory limit that its TCP and UDP buffers may take besides: the
/// kernel does not charge them to the limit itself.
const TCP_MEMORY_SHARE: u64 = 8;

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
    /// Creates the driver's directories, with the budget as the limit of all sandboxes together. `name`
    /// must be unique among the drivers on this host.
    pub(crate) fn open(layout: CgroupLayout, name: String, budget: Budget) -> io::Result<Self> {
        let cgroups = Self { layout, name };
        for hierarchy in cgroups.layout.limiting() {
            create(&hierarchy.join(&cgroups.name))?;
        }
        if let CgroupLayout::V2 { base } = &cgroups.layout {
            enable_controllers(base)?;
            enable_controllers(&base.join(&cgroups.name))?;
        }
        cgroups.lower_weights()?;
        cgroups.limit(budget)?;
        Ok(cgroups)
    }

    /// The groups of a driver that has ended, if there are some.
    pub(crate) fn of_earlier(layout: CgroupLayout, name: String) -> Self {
        Self { layout, name }
    }

    /// Gives all sandboxes together a quarter of the default CPU weight (1024 on v1, 100 on v2), and on v2
    /// of the default I/O weight, so that the server stays responsive while sandboxes use all cores.
    fn lower_weights(&self) -> io::Result<()> {
        match &self.layout {
            CgroupLayout::V1 { cpu, .. } => {
                set_if_there(&cpu.join(&self.name).join("cpu.shares"), 256)
            }
            CgroupLayout::V2 { base } => {
                let dir = base.join(&self.name);
                set_if_there(&dir.join("io.weight"), "default 25")?;
                set_if_there(&dir.join("cpu.weight"), 25)
            }
        }
    }

    /// Limits all sandboxes together, also what no limit of a single one counts.
    fn limit(&self, budget: Budget) -> io::Result<()> {
        let memory = budget.memory_mib.saturating_mul(MIB);
        let (CgroupLayout::V1 { pids, .. } | CgroupLayout::V2 { base: pids }) = &self.layout;
        set(&pids.join(&self.name).join("pids.max"), budget.pids)?;
        let limited = match &self.layout {
            CgroupLayout::V1 { memory: hierarchy, .. } => {
                limit_memory_v1(&hierarchy.join(&self.name), memory)
            }
            CgroupLayout::V2 { base } => limit_memory_v2(&base.join(&self.name), memory),
        };
        match limited {
            // Sandboxes of an earlier driver use more than a lowered budget. The old limit stays.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                tracing::warn!(%error, "failed to lower the memory limit of all sandboxes together");
                Ok(())
            }
            done => done,
        }
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.layout.is_v2()
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
        for dir in self.dirs() {
            create(&dir)?;
        }
        if let CgroupLayout::V1 { cpuset: Some(hierarchy), .. } = self.layout {
            // No process enters this group; it only shows that the controller exists.
            fs::create_dir_all(hierarchy.join(&self.path))?;
        }
        let memory = u64::from(spec.memory_mib) * MIB;
        match self.layout {
            CgroupLayout::V1 { memory: hierarchy, .. } => {
                let dir = hierarchy.join(&self.path);
                limit_memory_v1(&dir, memory)?;
                let sockets = memory / TCP_MEMORY_SHARE;
                set_if_there(&dir.join("memory.kmem.tcp.limit_in_bytes"), sockets)?;
            }
            CgroupLayout::V2 { base } => {
                let dir = base.join(&self.path);
                limit_memory_v2(&dir, memory)?;
                create(&dir.join(LEAF))?;
            }
        }
        self.set_pids(spec.pids)
    }

    /// Lets this user create groups below and move its processes to them, but not change the limits.
    pub(crate) fn delegate(&self, owner: u32) -> io::Result<()> {
        let files: &[&str] = match self.layout {
            CgroupLayout::V1 { .. } => &["", "tasks", "cgroup.procs"],
            CgroupLayout::V2 { .. } => {
                &["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]
            }
        };
        for dir in self.dirs().into_iter().chain(self.leaf()) {
            for file in files {
                give(&dir.join(file), owner)?;
            }
        }
        Ok(())
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

    /// The directories of the group, one in each hierarchy.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.layout.limiting().map(|hierarchy| hierarchy.join(&self.path)).collect()
    }

    /// The directories of the group with the names that they have below `/sys/fs/cgroup`: on v1 one for
    /// each controller, on v2 the empty name.
    pub(crate) fn views(&self) -> Vec<(&'static str, PathBuf)> {
        let named: Vec<(&'static str, &PathBuf)> = match self.layout {
            CgroupLayout::V1 { memory, pids, cpu, cpuacct, cpuset, .. } => {
                let named = [("memory", memory), ("pids", pids), ("cpu", cpu)];
                let optional = [("cpuacct", cpuacct), ("cpuset", cpuset)];
                let optional =
                    optional.into_iter().filter_map(|(name, found)| Some((name, found.as_ref()?)));
                named.into_iter().chain(optional).collect()
            }
            CgroupLayout::V2 { base } => vec![("", base)],
        };
        named.into_iter().map(|(name, hierarchy)| (name, hierarchy.join(&self.path))).collect()
    }

    /// The files into which a process writes `0` to enter the groups.
    pub(crate) fn procs_files(&self) -> Vec<PathBuf> {
        self.dirs().into_iter().map(|dir| dir.join(self.layout.procs_file())).collect()
    }

    /// On cgroup v2, the leaf that every process moves to that has entered the group, so that the cgroups
    /// of jobs can have controllers.
    pub(crate) fn leaf(&self) -> Option<PathBuf> {
        match self.layout {
            CgroupLayout::V1 { .. } => None,
            CgroupLayout::V2 { base } => Some(base.join(&self.path).join(LEAF)),
        }
    }

    /// The value of `linux.cgroupsPath`, relative to the root of every hierarchy.
    pub(crate) fn oci_path(&self) -> PathBuf {
        let path = self.layout.oci_prefix().join(&self.path);
        if self.leaf().is_some() { path.join(LEAF) } else { path }
    }

    /// Number of processes that the kernel's out-of-memory killer has killed in these groups.
    ///
    /// On v1 the count of a removed group is lost, so the runner writes a line `NAME COUNT` to `log`
    /// before it removes the group of a job. Groups that are still there are not counted twice.
    pub(crate) fn oom_kills(&self, log: &Path) -> u64 {
        let memory = match self.layout {
            CgroupLayout::V1 { memory, .. } => memory,
            CgroupLayout::V2 { base } => {
                return oom_kills(&base.join(&self.path).join("memory.events"));
            }
        };
        let present = tree(&memory.join(&self.path)).unwrap_or_default();
        let counts = present.into_iter().filter_map(|dir| {
            let name = dir.file_name()?.to_str()?.to_owned();
            Some((name, oom_kills(&dir.join("memory.oom_control"))))
        });
        let mut counts: BTreeMap<String, u64> = counts.collect();
        // Read after the groups: a group that disappeared meanwhile has its line by then.
        let log = fs::read_to_string(log).unwrap_or_default();
        let ended = log.lines().filter_map(|line| line.split_once(' '));
        counts
            .extend(ended.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))));
        counts.into_values().sum()
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
        let trees =
            self.layout.all().filter_map(|hierarchy| tree(&hierarchy.join(&self.path)).ok());
        for dir in trees.flatten() {
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
            for dir in tree(&hierarchy.join(&self.path))? {
                match fs::remove_dir(dir) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn limit_memory_v1(dir: &Path, bytes: u64) -> io::Result<()> {
    // The group may exist already, and the kernel rejects a memory limit above the limit of memory and
    // swap together.
    set_if_there(&dir.join("memory.memsw.limit_in_bytes"), "-1")?;
    set(&dir.join("memory.limit_in_bytes"), bytes)?;
    set_if_there(&dir.join("memory.memsw.limit_in_bytes"), bytes)
}

fn limit_memory_v2(dir: &Path, bytes: u64) -> io::Result<()> {
    set(&dir.join("memory.max"), bytes)?;
    set_if_there(&dir.join("memory.swap.max"), 0)
}

#[cfg(test)]
mod tests;
