//! Traces of a server's sandboxes on the host: processes, mounts, control groups, directories.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Depth of the search for the driver's control groups.
const DEPTH: usize = 6;

/// The traces of the sandboxes of a data directory.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    pub(crate) processes: BTreeSet<i32>,
    pub(crate) mounts: Vec<String>,
    pub(crate) cgroups: Vec<PathBuf>,
    /// Names of sandboxes that have a directory.
    pub(crate) sandboxes: BTreeSet<String>,
}

/// Finds the traces. `mark` is part of the command lines of the load.
pub(crate) fn traces(data_dir: &Path, mark: &str, own: &[u32]) -> Traces {
    let groups = cgroups(data_dir);
    let mut processes = processes(data_dir, mark);
    processes.extend(groups.iter().flat_map(|group| members(group)));
    for pid in own {
        processes.remove(&i32::try_from(*pid).unwrap_or(0));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = data_dir.to_string_lossy();
    let mounts = mounts.lines().filter(|line| line.contains(&*below));
    let mounts = mounts.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect();
    Traces { processes, mounts, cgroups: groups, sandboxes: sandboxes(data_dir) }
}

/// Children of a process that have ended and were not waited for.
pub(crate) fn zombies_of(parent: u32) -> usize {
    let of_parent = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    pids().filter(of_parent).count()
}

/// The name of a task's sandbox. One that was prepared has a name of its own, which the driver's record of
/// the task notes; others have the task's id.
pub(crate) fn sandbox_of(data_dir: &Path, task: &str) -> String {
    let record = data_dir.join("sandboxes/records").join(format!("{task}.json"));
    let record = fs::read_to_string(record).unwrap_or_default();
    let record: Value = serde_json::from_str(&record).unwrap_or_default();
    record["prepared"].as_str().unwrap_or(task).to_owned()
}

/// Kills all processes of a task's sandbox, PID 1 among them.
pub(crate) fn kill(data_dir: &Path, task: &str) {
    let groups = cgroups(data_dir);
    let sandbox = sandbox_of(data_dir, task);
    let of_task =
        groups.iter().filter(|group| group.components().any(|c| c.as_os_str() == sandbox.as_str()));
    for pid in of_task.flat_map(|group| members(group)).filter_map(Pid::from_raw) {
        // The process may have ended already.
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// Kills all processes and removes all control groups of the sandboxes.
pub(crate) fn clear(data_dir: &Path) {
    for _ in 0..500 {
        let groups = cgroups(data_dir);
        if groups.is_empty() {
            return;
        }
        for pid in groups.iter().flat_map(|group| members(group)) {
            if let Some(pid) = Pid::from_raw(pid) {
                // The process may have ended already.
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
        // Reverse order, because parents come before their children.
        for group in groups.iter().rev() {
            let _busy = fs::remove_dir(group);
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("crash: control groups of {} can't be removed", data_dir.display());
}

fn sandboxes(data_dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(data_dir.join("sandboxes")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("task-")).collect()
}

/// The driver's control groups in all hierarchies, and those below them, parents first.
fn cgroups(data_dir: &Path) -> Vec<PathBuf> {
    let root = data_dir.join("sandboxes");
    let root = root.canonicalize().unwrap_or(root);
    let hash = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let hex: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("ephemeral-{hex}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let mounts = mounts.lines().filter(cgroup).filter_map(|line| line.split(' ').nth(4));
    let mut found = Vec::new();
    for mount in mounts {
        for driver in named(Path::new(mount), &name, DEPTH) {
            below(driver, &mut found);
        }
    }
    found
}

fn named(dir: &Path, name: &str, depth: usize) -> Vec<PathBuf> {
    let here = dir.join(name);
    if here.is_dir() {
        return vec![here];
    }
    if depth == 0 {
        return Vec::new();
    }
    dirs(dir).iter().flat_map(|dir| named(dir, name, depth - 1)).collect()
}

fn below(dir: PathBuf, found: &mut Vec<PathBuf>) {
    let inner = dirs(&dir);
    found.push(dir);
    for dir in inner {
        below(dir, found);
    }
}

fn dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}

fn members(cgroup: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    procs.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Processes that run a command of the load, or that have the data directory among their mounts.
fn processes(data_dir: &Path, mark: &str) -> BTreeSet<i32> {
    let own = std::process::id();
    let below = data_dir.to_string_lossy().into_owned();
    let is_trace = |pid: &i32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = read("cmdline");
        let line = String::from_utf8_lossy(&line);
        line.contains(mark)
            || (line.contains(&below) && !line.contains("--data-dir"))
            || String::from_utf8_lossy(&read("mountinfo")).contains(&below)
    };
    pids().filter(|pid| u32::try_from(*pid) != Ok(own)).filter(is_trace).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
