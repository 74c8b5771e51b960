//! Counts the kernel's out-of-memory kills in this control group.

use std::fs;

/// The files with the count in a container's own group, for cgroup v2 and v1. Both have a line
/// `oom_kill N` (cgroup-v2.rst and cgroup-v1/memory.rst of the kernel's documentation).
const COUNTERS: [&str; 2] =
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// Number of processes killed so far. `None` if the control group is not visible in the container; the
/// server reads the count on the host then.
pub(crate) fn kills() -> Option<u64> {
    COUNTERS.iter().find_map(|path| count(&fs::read_to_string(path).ok()?))
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
