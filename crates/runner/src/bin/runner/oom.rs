//! Whether the kernel has killed for memory in this control group.

use std::fs;

/// Where a container sees its own group: version 2, then version 1. Both have a line
/// `oom_kill N` (cgroup-v2.rst, cgroup-v1/memory.rst of the kernel's documentation).
const COUNTERS: [&str; 2] =
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// Processes killed so far; `None` where the control group can't be seen, and then whoever made the
/// sandbox has to tell.
pub(crate) fn kills() -> Option<u64> {
    COUNTERS.iter().find_map(|path| count(&fs::read_to_string(path).ok()?))
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
