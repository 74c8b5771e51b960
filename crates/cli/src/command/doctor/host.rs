//! What can be seen of this machine without doing anything.

use std::{fs, path::Path};

use super::Check;
use crate::find::is_root;

/// Controllers that a shell's limits need.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// All that is looked at, in the order in which it matters.
pub(super) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mounts = read("/proc/self/mountinfo");
    let v2 = read("/sys/fs/cgroup/cgroup.controllers");
    vec![
        Check::good("kernel", read("/proc/sys/kernel/osrelease").trim()),
        user(is_root()),
        control_groups(&mounts, &v2),
        seccomp(Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()),
        Check::less("network", "shells have none", "this version can't give shells a network"),
    ]
}

fn user(root: bool) -> Check {
    if root {
        Check::good("user", "root")
    } else {
        let hint = "run `ephemeral up` as root; its commands still run as an unprivileged user";
        Check::less("user", "not root: needs a user namespace and a delegated cgroup", hint)
    }
}

fn control_groups(mounts: &str, v2: &str) -> Check {
    const WHAT: &str = "control groups";
    let lines = || mounts.lines().filter_map(|line| line.split_once(" - "));
    let unified = lines().any(|(_, kind)| kind.starts_with("cgroup2 "));
    let old = |name: &str| {
        lines().any(|(_, kind)| {
            let options = kind.rsplit(' ').next().unwrap_or_default();
            kind.starts_with("cgroup ") && options.split(',').any(|option| option == name)
        })
    };
    let by_v1 = old("memory");
    let has = |name: &str| if by_v1 { old(name) } else { v2.split_whitespace().any(|c| c == name) };
    let missing: Vec<_> = CONTROLLERS.into_iter().filter(|name| !has(name)).collect();
    let version = match (by_v1, unified) {
        (true, true) => "version 1, hybrid",
        (true, false) => "version 1",
        (false, _) => "version 2",
    };
    if missing.is_empty() {
        Check::good(WHAT, format!("{version}: {}", CONTROLLERS.join(", ")))
    } else {
        let found = format!("{version}, without {}", missing.join(", "));
        Check::bad(
            WHAT,
            found,
            "mount or delegate these controllers; limits can't be had otherwise",
        )
    }
}

fn seccomp(available: bool) -> Check {
    if available {
        Check::good("seccomp", "filters")
    } else {
        let hint = "use a kernel with CONFIG_SECCOMP_FILTER";
        Check::bad("seccomp", "no filters", hint)
    }
}

#[cfg(test)]
mod tests;
