//! The limits that programs read from their own cgroup.

use std::fs;
use std::path::Path;

use super::job::write_existing;

/// Files of cgroup v1 and v2 with a limit.
const FILES: [&str; 7] = [
    "memory.limit_in_bytes",
    // The kernel charges the buffers of a socket only if the cgroup of its creator itself has this limit.
    "memory.kmem.tcp.limit_in_bytes",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "memory.max",
    "cpu.max",
    PIDS,
];
const PIDS: &str = "pids.max";

/// Gives the cgroup of a job the limits of its parent, which are those of the whole shell: Java, Node.js and Go
/// look only at the cgroup of their process. Only the number of processes is smaller, so that a job that forks
/// without end leaves processes for other jobs.
pub(super) fn copy(parent: &Path, job: &Path) {
    for name in FILES {
        if let Ok(mut limit) = fs::read_to_string(parent.join(name)) {
            if name == PIDS {
                limit = of_one_job(&limit);
            }
            // Not fatal: the limit of the parent holds anyway.
            let _ = write_existing(&job.join(name), &limit);
        }
    }
}

/// Seven eighths of a number of processes; `max` stays as it is.
fn of_one_job(pids: &str) -> String {
    pids.trim().parse().map_or_else(|_| pids.to_owned(), |all: u64| (all - all / 8).to_string())
}
