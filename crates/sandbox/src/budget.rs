//! What all sandboxes of a driver may use of this host together.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use crate::disk;
use crate::task::TaskSpec;

const MIB: u64 = 1 << 20;
/// The part of the host's memory that is left to everything else: a quarter.
const MEMORY_RESERVE: u64 = 4;
/// The part of the free disk space that is left to everything else: a tenth, but at least 1 GiB.
const DISK_RESERVE: u64 = 10;
const MIN_DISK_RESERVE_MIB: u64 = 1024;
/// The part of the host's process ids that is left to everything else: a half.
const PIDS_RESERVE: u64 = 2;

/// An amount of memory, disk and process ids: what a driver's sandboxes may use together, or what some
/// of them use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// MiB of memory.
    pub memory_mib: u64,
    /// MiB of disk. Disks that are held in memory count as memory only.
    pub disk_mib: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Budget {
    /// What is sensible for this host: three quarters of its memory, half of its process ids, and nine
    /// tenths of the space that is free for `dir`, or for what will contain it, or that `dir` uses, but at
    /// least a disk of the default size.
    ///
    /// # Errors
    /// If the host does not tell its limits.
    pub fn of_host(dir: &Path) -> io::Result<Self> {
        let info = rustix::system::sysinfo();
        let memory = info.totalram.saturating_mul(u64::from(info.mem_unit)) / MIB;
        let pids = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
        let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
        let found = statvfs(existing)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize) / MIB + used_mib(dir);
        let reserve = (free / DISK_RESERVE).max(MIN_DISK_RESERVE_MIB);
        Ok(Self {
            memory_mib: memory - memory / MEMORY_RESERVE,
            // Images of disks are sparse, so that one shell fits also on a host with little space.
            disk_mib: free.saturating_sub(reserve).max(disk::DEFAULT_MIB.into()),
            pids: pids - pids / PIDS_RESERVE,
        })
    }

    /// Whether this much more would still be within `limit`.
    pub fn fits(self, more: Self, limit: Self) -> bool {
        self.memory_mib.saturating_add(more.memory_mib) <= limit.memory_mib
            && self.disk_mib.saturating_add(more.disk_mib) <= limit.disk_mib
            && self.pids.saturating_add(more.pids) <= limit.pids
    }

    /// What a task takes. A disk that is held in memory is within the memory limit of its task.
    pub(crate) fn of(spec: &TaskSpec, is_disk_real: bool) -> Self {
        Self {
            memory_mib: spec.memory_mib.into(),
            disk_mib: if is_disk_real { spec.disk_mib.into() } else { 0 },
            pids: spec.pids.into(),
        }
    }
}

impl std::iter::Sum for Budget {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            memory_mib: sum.memory_mib.saturating_add(one.memory_mib),
            disk_mib: sum.disk_mib.saturating_add(one.disk_mib),
            pids: sum.pids.saturating_add(one.pids),
        })
    }
}

/// The space that the disks of the driver in `dir` use already: it belongs to the budget.
fn used_mib(dir: &Path) -> u64 {
    let tasks = fs::read_dir(dir).into_iter().flatten().flatten();
    let disks = tasks.filter_map(|task| rustix::fs::stat(task.path().join(disk::FILE)).ok());
    let blocks = disks.filter_map(|disk| u64::try_from(disk.st_blocks).ok());
    // stat(2) counts blocks of 512 bytes.
    blocks.sum::<u64>() / (MIB / 512)
}

fn number(file: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|error| io::Error::other(format!("{file}: {error}")))
}

#[cfg(test)]
mod tests;
