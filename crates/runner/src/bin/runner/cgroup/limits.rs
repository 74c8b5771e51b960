//! The limits that programs read from their own cgroup.

use std::fs;
use std::path::Path;

use super::job::write_existing;

/// Files of cgroup v1 and v2 with a limit.
const FILES: [&str; 6] = [
    "memory.limit_in_bytes",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "memory.max",
    "cpu.max",
    "pids.max",
];

/// Gives the cgroup of a job the limits of its parent, which are those of the whole shell. They limit
/// nothing further, but Java, Node.js and Go look only at the cgroup of their process.
pub(super) fn copy(parent: &Path, job: &Path) {
    for name in FILES {
        if let Ok(limit) = fs::read_to_string(parent.join(name)) {
            // Not fatal: the limit of the parent holds anyway.
            let _ = write_existing(&job.join(name), &limit);
        }
    }
}
