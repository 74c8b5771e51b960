//! Features of this host: cgroup hierarchies and installed programs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::rootfs::SEARCH_PATH;

/// Name of the cgroup that the server moves itself into on cgroup v2, so that its own group may have
/// children with limits.
pub(crate) const SERVER_GROUP: &str = "ephemeral-server";

/// The version and the mount points of the cgroup hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CgroupLayout {
    V1 {
        memory: PathBuf,
        pids: PathBuf,
        cpu: PathBuf,
        /// Only for the accounting of jobs.
        cpuacct: Option<PathBuf>,
        /// Limits nothing, but Java takes no limits from a host without this controller.
        cpuset: Option<PathBuf>,
        /// Every other hierarchy, including the unified one of a hybrid host: an external OCI runtime
        /// may create a group there.
        others: Vec<PathBuf>,
    },
    V2 {
        /// The parent of all groups of this server: the root group, or the delegated one if the
        /// server isn't root.
        base: PathBuf,
    },
}

/// This host has no usable cgroup hierarchy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error(
        "this host has no cgroup controller {0}: enable it, for example by the kernel parameter \
         cgroup_enable={0}"
    )]
    Controller(&'static str),
    #[error(
        "rootless mode needs cgroup v2 with a delegated subtree \
         (for example `systemd-run --user --scope -p Delegate=yes`)"
    )]
    Delegation,
    #[error("failed to read /proc/self/mountinfo or /proc/self/cgroup")]
    Unreadable(#[from] io::Error),
}

impl CgroupLayout {
    /// Finds the hierarchies in the mount table.
    pub(crate) fn find() -> Result<Self, CgroupError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Self::parse(&mounts, &own, rustix::process::geteuid().is_root())
    }

    fn parse(mountinfo: &str, own: &str, root: bool) -> Result<Self, CgroupError> {
        let mut v1: Vec<(PathBuf, String)> = Vec::new();
        let mut v2 = None;
        for (point, kind, options) in mountinfo.lines().filter_map(mount) {
            match kind {
                "cgroup" => v1.push((point, options.to_owned())),
                "cgroup2" => v2 = v2.or(Some(point)),
                _ => {}
            }
        }
        let hierarchy = |name: &'static str| {
            let offers = |(_, options): &&(PathBuf, String)| options.split(',').any(|o| o == name);
            v1.iter()
                .find(offers)
                .map(|(point, _)| point.clone())
                .ok_or(CgroupError::Controller(name))
        };
        match (hierarchy("memory"), v2) {
            (Err(_), Some(point)) => Ok(Self::v2(&point, own, root)),
            (Ok(_), _) if !root => Err(CgroupError::Delegation),
            (memory, unified) => {
                let (memory, pids, cpu) = (memory?, hierarchy("pids")?, hierarchy("cpu")?);
                let cpuacct = hierarchy("cpuacct").ok();
                let cpuset = hierarchy("cpuset").ok();
                let own = [Some(&memory), Some(&pids), Some(&cpu), cpuacct.as_ref()];
                let others = v1.iter().map(|(point, _)| point.clone()).chain(unified);
                let others = others.filter(|point| !own.contains(&Some(point))).collect();
                Ok(Self::V1 { memory, pids, cpu, cpuacct, cpuset, others })
            }
        }
    }

    fn v2(mount: &Path, own: &str, root: bool) -> Self {
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        // The server may already have moved itself into its own child group.
        let own = own.strip_suffix(SERVER_GROUP).unwrap_or(own).trim_end_matches('/');
        Self::V2 { base: if root { mount.to_owned() } else { mount.join(own) } }
    }

    /// The hierarchies that limit a sandbox and account for what it uses.
    pub(crate) fn limiting(&self) -> impl Iterator<Item = &Path> {
        let mut own: Vec<&Path> = Vec::new();
        match self {
            Self::V1 { memory, pids, cpu, cpuacct, .. } => {
                for hierarchy in [memory, pids, cpu].into_iter().chain(cpuacct) {
                    // Several controllers may be mounted as one hierarchy.
                    if !own.contains(&hierarchy.as_path()) {
                        own.push(hierarchy);
                    }
                }
            }
            Self::V2 { base } => own.push(base),
        }
        own.into_iter()
    }

    pub(crate) fn is_v2(&self) -> bool {
        matches!(self, Self::V2 { .. })
    }

    /// The hierarchies in which a sandbox may have a group, also if an OCI runtime created it.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let others: &[PathBuf] = match self {
            Self::V1 { others, .. } => others,
            Self::V2 { .. } => &[],
        };
        self.limiting().chain(others.iter().map(PathBuf::as_path))
    }

    /// The file of a group into which a process with a single thread writes `0` to enter the group.
    /// On v1 `tasks` moves a single thread, which is some milliseconds faster than `cgroup.procs`,
    /// because the kernel need not wait until no process forks.
    pub(crate) fn procs_file(&self) -> &'static str {
        match self {
            Self::V1 { .. } => "tasks",
            Self::V2 { .. } => "cgroup.procs",
        }
    }

    /// The prefix of an OCI `cgroupsPath` below the parent group.
    pub(crate) fn oci_prefix(&self) -> PathBuf {
        match self {
            Self::V1 { .. } => PathBuf::from("/"),
            Self::V2 { base } => {
                let below = base.strip_prefix("/sys/fs/cgroup").unwrap_or(Path::new(""));
                Path::new("/").join(below)
            }
        }
    }
}

/// Finds a program in the launcher's search path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let mut dirs = SEARCH_PATH.split(':').map(|dir| Path::new(dir).join(name));
    dirs.find(|path| rustix::fs::access(path, Access::EXEC_OK).is_ok())
}

/// The path of pasta, which connects sandboxes to the network.
///
/// # Errors
/// What is missing.
pub(crate) fn find_pasta() -> Result<PathBuf, &'static str> {
    let pasta = program("pasta").ok_or("the program pasta is not installed")?;
    let tun = rustix::fs::access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK);
    tun.map(|()| pasta).map_err(|_| "the server can't open /dev/net/tun")
}

/// The mount point, type and superblock options of a line of `/proc/self/mountinfo`; see proc(5).
fn mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let point = PathBuf::from(place.split(' ').nth(4)?);
    Some((point, kind.next()?, kind.nth(1)?))
}

#[cfg(test)]
mod tests;
