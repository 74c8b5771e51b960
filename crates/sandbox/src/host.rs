//! What this host has: control groups, programs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::rootfs::SEARCH_PATH;

/// A group for the server itself, beside those of the sandboxes.
pub(crate) const SERVER_GROUP: &str = "ephemeral-server";

/// Where control groups are, and which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CgroupLayout {
    V1 {
        memory: PathBuf,
        pids: PathBuf,
        cpu: PathBuf,
        /// Every other hierarchy, also the unified one of a hybrid host: a foreign runtime may make
        /// a group there.
        others: Vec<PathBuf>,
    },
    V2 {
        /// The group to make groups in: the root's, or else the one delegated to us.
        base: PathBuf,
    },
}

/// Why no sandbox can be limited here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCgroups {
    #[error("the control groups of this host offer no {0} controller")]
    Controller(&'static str),
    #[error("without root, it takes control groups of version 2, and one that is delegated to us")]
    Delegation,
    #[error("the mount table can't be read")]
    Unreadable(#[from] io::Error),
}

impl CgroupLayout {
    /// Looks at the mount table.
    pub(crate) fn find() -> Result<Self, NoCgroups> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Self::parse(&mounts, &own, rustix::process::geteuid().is_root())
    }

    fn parse(mountinfo: &str, own: &str, root: bool) -> Result<Self, NoCgroups> {
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
                .ok_or(NoCgroups::Controller(name))
        };
        match (hierarchy("memory"), v2) {
            (Err(_), Some(point)) => Ok(Self::v2(&point, own, root)),
            (Ok(_), _) if !root => Err(NoCgroups::Delegation),
            (memory, unified) => {
                let (memory, pids, cpu) = (memory?, hierarchy("pids")?, hierarchy("cpu")?);
                let others = v1.into_iter().map(|(point, _)| point).chain(unified);
                let others = others.filter(|p| ![&memory, &pids, &cpu].contains(&p)).collect();
                Ok(Self::V1 { memory, pids, cpu, others })
            }
        }
    }

    fn v2(mount: &Path, own: &str, root: bool) -> Self {
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        // Where we have moved to ourselves, to make room.
        let own = own.strip_suffix(SERVER_GROUP).unwrap_or(own).trim_end_matches('/');
        Self::V2 { base: if root { mount.to_owned() } else { mount.join(own) } }
    }

    /// The hierarchies in which a sandbox has limits.
    pub(crate) fn limiting(&self) -> impl Iterator<Item = &Path> {
        let own = match self {
            Self::V1 { memory, pids, cpu, .. } => {
                // Two names may be one hierarchy.
                let cpu = (cpu != pids && cpu != memory).then_some(cpu);
                vec![Some(memory), Some(pids), cpu]
            }
            Self::V2 { base } => vec![Some(base)],
        };
        own.into_iter().flatten().map(PathBuf::as_path)
    }

    /// The hierarchies in which anyone may have made a group for a sandbox.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let others: &[PathBuf] = match self {
            Self::V1 { others, .. } => others,
            Self::V2 { .. } => &[],
        };
        self.limiting().chain(others.iter().map(PathBuf::as_path))
    }

    /// The file in a group that a process of one thread writes `0` into to be in it. `tasks` moves a
    /// single thread, for which version 1 need not wait until no other process forks: milliseconds.
    pub(crate) fn entrance(&self) -> &'static str {
        match self {
            Self::V1 { .. } => "tasks",
            Self::V2 { .. } => "cgroup.procs",
        }
    }

    /// What a runtime must put before a path for it to be below our base.
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

/// Finds a program where the launcher will.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let mut dirs = SEARCH_PATH.split(':').map(|dir| Path::new(dir).join(name));
    dirs.find(|path| rustix::fs::access(path, Access::EXEC_OK).is_ok())
}

/// The program that connects sandboxes, or what is missing for it.
pub(crate) fn connector() -> Result<PathBuf, &'static str> {
    let pasta = program("pasta").ok_or("the program pasta (Debian's package passt) is missing")?;
    let tun = rustix::fs::access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK);
    tun.map(|()| pasta).map_err(|_| "/dev/net/tun can't be opened")
}

/// Mount point, type and superblock options of a line of `/proc/self/mountinfo`; see proc(5).
fn mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let point = PathBuf::from(place.split(' ').nth(4)?);
    Some((point, kind.next()?, kind.nth(1)?))
}

#[cfg(test)]
mod tests;
