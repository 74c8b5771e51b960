//! Processes and control groups that the sandboxes of a directory left on this host. A sandbox outlives
//! the server that made it, on purpose.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::process;

const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Kills the processes and removes the control groups that are left.
///
/// # Errors
/// If there were processes: the program that made them should have ended them.
pub(crate) fn clear(dir: &Path) -> Result<()> {
    let left = processes(dir);
    let groups: BTreeSet<_> = left.iter().flat_map(|pid| groups(*pid)).collect();
    let began = Instant::now();
    while began.elapsed() < GONE_WITHIN {
        let now = processes(dir);
        if now.is_empty() {
            break;
        }
        now.into_iter().for_each(process::kill);
        thread::sleep(Duration::from_millis(20));
    }
    groups.iter().for_each(|group| remove(group));
    ensure!(left.is_empty(), "{} processes in sandboxes were left", left.len());
    Ok(())
}

/// The processes that have the directory among their mounts.
fn processes(dir: &Path) -> Vec<i32> {
    let below = dir.to_string_lossy().into_owned();
    let sees = |pid: &i32| {
        let mounts = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        String::from_utf8_lossy(&mounts).contains(&below)
    };
    process::pids().into_iter().filter(sees).collect()
}

/// The control groups of a process that belong to a sandbox.
fn groups(pid: i32) -> Vec<PathBuf> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let mounts = mounts.lines().filter(cgroup).filter_map(|line| line.split(' ').nth(4));
    let own = |path: &&str| path.contains("ephemeral-");
    let paths = lines.lines().filter_map(|line| line.splitn(3, ':').nth(2)).filter(own);
    let paths: Vec<_> = paths.map(|path| path.trim_start_matches('/')).collect();
    mounts
        .flat_map(|mount| paths.iter().map(move |path| Path::new(mount).join(path)))
        .filter(|path| path.is_dir())
        .collect()
}

/// Removes the group and its parents, as far as they belong to a sandbox and are empty.
fn remove(group: &Path) {
    let mut at = Some(group);
    while let Some(group) = at.filter(|group| group.to_string_lossy().contains("/ephemeral-")) {
        if fs::remove_dir(group).is_err() {
            return;
        }
        at = group.parent();
    }
}
